"""The words of the demo checkpoint, in English and French, side by side.

Only tables live here; `demo.sentences` makes sentences of them. Every phrase has exactly one
translation in each direction, so that a translation can be judged by string equality. French
words outside Latin-1 (œ) are avoided: the character head of Granite Speech cannot spell them.
"""

from typing import NamedTuple


class Noun(NamedTuple):
    en: str
    en_plural: str
    fr: str
    fr_plural: str
    feminine: bool


class Verb(NamedTuple):
    en: str  # base form
    en_present: str  # third person
    en_past: str
    fr_present: str
    fr_participle: str
    fr: str  # infinitive
    fr_imperative: str


def _nouns(table: str) -> tuple[Noun, ...]:
    rows = (line.split() for line in table.strip().splitlines())
    return tuple(Noun(en, ens, fr, frs, gender == "f") for en, ens, fr, frs, gender in rows)


NOUNS = _nouns("""
door doors porte portes f
window windows fenêtre fenêtres f
car cars voiture voitures f
house houses maison maisons f
book books livre livres m
table tables table tables f
chair chairs chaise chaises f
box boxes boîte boîtes f
letter letters lettre lettres f
key keys clé clés f
bag bags sac sacs m
hat hats chapeau chapeaux m
coat coats manteau manteaux m
shirt shirts chemise chemises f
bottle bottles bouteille bouteilles f
apple apples pomme pommes f
bicycle bicycles vélo vélos m
phone phones téléphone téléphones m
picture pictures photo photos f
lamp lamps lampe lampes f
plate plates assiette assiettes f
glass glasses verre verres m
knife knives couteau couteaux m
flower flowers fleur fleurs f
tree trees arbre arbres m
cake cakes gâteau gâteaux m
cheese cheeses fromage fromages m
ticket tickets billet billets m
newspaper newspapers journal journaux m
guitar guitars guitare guitares f
computer computers ordinateur ordinateurs m
clock clocks horloge horloges f
boat boats bateau bateaux m
horse horses cheval chevaux m
dog dogs chien chiens m
cat cats chat chats m
bird birds oiseau oiseaux m
umbrella umbrellas parapluie parapluies m
mirror mirrors miroir miroirs m
orange oranges orange oranges f
""")

VERBS = tuple(
    Verb(*line.split())
    for line in """
open opens opened ouvre ouvert ouvrir ouvrez
close closes closed ferme fermé fermer fermez
take takes took prend pris prendre prenez
find finds found trouve trouvé trouver trouvez
buy buys bought achète acheté acheter achetez
sell sells sold vend vendu vendre vendez
bring brings brought apporte apporté apporter apportez
wash washes washed lave lavé laver lavez
repair repairs repaired répare réparé réparer réparez
show shows showed montre montré montrer montrez
draw draws drew dessine dessiné dessiner dessinez
break breaks broke casse cassé casser cassez
hide hides hid cache caché cacher cachez
keep keeps kept garde gardé garder gardez
choose chooses chose choisit choisi choisir choisissez
lose loses lost perd perdu perdre perdez
forget forgets forgot oublie oublié oublier oubliez
prepare prepares prepared prépare préparé préparer préparez
""".strip().splitlines()
)

# English, French masculine, French feminine. Colours follow the French noun, sizes go before it.
COLOURS = (
    ("red", "rouge", "rouge"),
    ("blue", "bleu", "bleue"),
    ("green", "vert", "verte"),
    ("black", "noir", "noire"),
    ("white", "blanc", "blanche"),
    ("yellow", "jaune", "jaune"),
    ("grey", "gris", "grise"),
)
SIZES = (("big", "grand", "grande"), ("small", "petit", "petite"))

PEOPLE = (
    ("the doctor", "le médecin"),
    ("the teacher", "le professeur"),
    ("the driver", "le chauffeur"),
    ("the baker", "le boulanger"),
    ("the neighbour", "le voisin"),
    ("the child", "l'enfant"),
    ("the student", "l'étudiant"),
    ("my mother", "ma mère"),
    ("my father", "mon père"),
    ("my brother", "mon frère"),
    ("my friend", "mon ami"),
    ("the captain", "le capitaine"),
    ("the singer", "le chanteur"),
    ("the farmer", "le fermier"),
    ("the king", "le roi"),
    ("the queen", "la reine"),
    ("the lawyer", "l'avocat"),
)

CITIES = (
    ("London", "Londres"),
    ("Paris", "Paris"),
    ("Berlin", "Berlin"),
    ("Madrid", "Madrid"),
    ("Geneva", "Genève"),
    ("Brussels", "Bruxelles"),
    ("Montreal", "Montréal"),
    ("Vienna", "Vienne"),
)

PLACES = (
    ("in the kitchen", "dans la cuisine"),
    ("in the garden", "dans le jardin"),
    ("in the street", "dans la rue"),
    ("in the library", "à la bibliothèque"),
    ("at the station", "à la gare"),
    ("at the market", "au marché"),
    ("near the river", "près de la rivière"),
    ("near the church", "près de l'église"),
    ("behind the school", "derrière l'école"),
    ("in front of the hotel", "devant l'hôtel"),
    ("under the bridge", "sous le pont"),
    ("on the beach", "sur la plage"),
    ("in the forest", "dans la forêt"),
    ("at the airport", "à l'aéroport"),
    ("in the office", "au bureau"),
    ("at home", "à la maison"),
    ("in the mountains", "à la montagne"),
    ("next to the bank", "à côté de la banque"),
    ("on the roof", "sur le toit"),
    ("at the hospital", "à l'hôpital"),
    ("at the restaurant", "au restaurant"),
    ("opposite the museum", "en face du musée"),
    *tuple((f"in {en}", f"à {fr}") for en, fr in CITIES),
)

DAYS = (
    ("Monday", "lundi"),
    ("Tuesday", "mardi"),
    ("Wednesday", "mercredi"),
    ("Thursday", "jeudi"),
    ("Friday", "vendredi"),
    ("Saturday", "samedi"),
    ("Sunday", "dimanche"),
)
MONTHS = (
    ("January", "janvier"),
    ("February", "février"),
    ("March", "mars"),
    ("April", "avril"),
    ("May", "mai"),
    ("June", "juin"),
    ("July", "juillet"),
    ("August", "août"),
    ("September", "septembre"),
    ("October", "octobre"),
    ("November", "novembre"),
    ("December", "décembre"),
)
TIMES_ANY = (
    ("in the morning", "le matin"),
    ("in the afternoon", "l'après-midi"),
    ("in the evening", "le soir"),
    ("before noon", "avant midi"),
    ("after dinner", "après le dîner"),
    ("during the night", "pendant la nuit"),
)
TIMES_PAST = (
    ("yesterday", "hier"),
    ("last night", "hier soir"),
    ("last week", "la semaine dernière"),
    ("last month", "le mois dernier"),
)
TIMES_PRESENT = (
    ("today", "aujourd'hui"),
    ("now", "maintenant"),
    ("every day", "chaque jour"),
    ("every week", "chaque semaine"),
)
TIMES_FUTURE = (
    ("tomorrow", "demain"),
    ("tomorrow morning", "demain matin"),
    ("tonight", "ce soir"),
    ("next week", "la semaine prochaine"),
    ("next month", "le mois prochain"),
)

WEATHER = (
    ("it is cold", "il fait froid"),
    ("it is hot", "il fait chaud"),
    ("it is raining", "il pleut"),
    ("it is snowing", "il neige"),
    ("it is windy", "il y a du vent"),
    ("it is sunny", "il y a du soleil"),
    ("it is dark", "il fait nuit"),
    ("the weather is nice", "il fait beau"),
)

_EN_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_EN_TENS = "_ _ twenty thirty forty fifty sixty".split()
_FR_UNITS = (
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize "
    "dix-sept dix-huit dix-neuf"
).split()
_FR_TENS = "_ _ vingt trente quarante cinquante soixante".split()


def english_number(n: int) -> str:
    """The words of an integer from 0 to 69."""
    if n < 20:
        return _EN_UNITS[n]
    tens, unit = divmod(n, 10)
    return _EN_TENS[tens] + (f" {_EN_UNITS[unit]}" if unit else "")


def french_number(n: int) -> str:
    """The words of an integer from 0 to 69."""
    if n < 20:
        return _FR_UNITS[n]
    tens, unit = divmod(n, 10)
    if unit == 0:
        return _FR_TENS[tens]
    return _FR_TENS[tens] + (" et un" if unit == 1 else f" {_FR_UNITS[unit]}")
