"""A Granite 4.0 text model of random weights, some 100 kB, in the published layout.

Its architecture is granitemoehybrid, with a Mamba-2 and an attention layer as granite-4.0-h-micro
has both, and its chat template has that model's roles. What it writes means nothing.
"""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models import granitemoehybrid
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ("<|end_of_text|>", "<|pad|>", "<|start_of_role|>", "<|end_of_role|>")
TEMPLATE = (
    "{%- for message in messages %}<|start_of_role|>{{ message['role'] }}<|end_of_role|>"
    "{{ message['content'] }}<|end_of_text|>\n{%- endfor %}"
    "{%- if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{%- endif %}"
)
WINDOW = 8000

CONFIG: dict[str, Any] = {
    "model_type": "granitemoehybrid",
    "architectures": ["GraniteMoeHybridForCausalLM"],
    "hidden_size": 24,
    "intermediate_size": 40,
    "shared_intermediate_size": 40,
    "num_hidden_layers": 2,
    "layer_types": ["mamba", "attention"],
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": WINDOW,
    "attention_bias": False,
    "embedding_multiplier": 12.0,
    "attention_multiplier": 0.15,
    "residual_multiplier": 0.3,
    "logits_scaling": 2.0,
    "rms_norm_eps": 1e-5,
    "num_local_experts": 0,
    "num_experts_per_tok": 0,
    "mamba_n_heads": 3,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_d_conv": 4,
    "mamba_n_groups": 1,
    "mamba_proj_bias": False,
    "mamba_conv_bias": True,
    "position_embedding_type": "nope",
    "tie_word_embeddings": False,
    "eos_token_id": 0,
}

TEXT = """the meeting was about the plan and the budget and who is to write the report about it
[0] [1] [2] [3] [10] [11] [12] 0:00:01 0:01:30 it was decided that the answer is in the transcript
{"answer": "yes", "quotes": [{"quote": "so it was", "segment": 12}], "segments": [1, 2, 3]}"""


def write_text_model(folder: Path) -> Path:
    """Write the model into a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    # As published ones have: the table has more rows than there are tokens.
    config = CONFIG | {"vocab_size": tokenizer.get_vocab_size() + 5}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": SPECIAL[0],
                "eos_token": SPECIAL[0],
                "pad_token": SPECIAL[1],
                "model_max_length": WINDOW,
            }
        )
    )
    mx.save_safetensors(str(folder / "model.safetensors"), _weights(config))
    return folder


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    return tokenizer


def _weights(config: dict[str, Any]) -> dict[str, mx.array]:
    network = granitemoehybrid.Model(granitemoehybrid.ModelArgs.from_dict(config))
    keys = iter(mx.random.split(mx.random.key(3), 100))
    return {
        name: mx.ones(value.shape)
        if name.endswith("norm.weight")
        else 0.4 * mx.random.normal(value.shape, key=next(keys))
        for name, value in tree_flatten(network.parameters())
    }
