#!/bin/sh
# Sends a recording to granite-mlx serve and prints its text.
#
#     transcribe.sh FILE [text|srt|vtt|json|verbose_json]
#
# In Shortcuts: the action "Run Shell Script", with the file as its input "as arguments".
# GRANITE_MLX_URL and GRANITE_MLX_TOKEN are for a server elsewhere.
set -eu

url=${GRANITE_MLX_URL:-http://localhost:8000}
file=${1:?"usage: transcribe.sh FILE [FORMAT]"}
format=${2:-text}

# --fail-with-body: what is wrong is printed, and the exit code tells that something is.
# Read from stdin, a file may have any name: curl gives a meaning to commas and semicolons.
exec curl --silent --show-error --fail-with-body \
    --header "Authorization: Bearer ${GRANITE_MLX_TOKEN:-none}" \
    --form "file=@-;filename=recording" \
    --form "response_format=$format" \
    "$url/v1/audio/transcriptions" <"$file"
