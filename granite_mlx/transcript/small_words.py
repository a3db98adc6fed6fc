"""Articles, prepositions, conjunctions: a line reads better if it does not end with one of them.

One set for the European languages that the models write. That a word may mean another thing in
another language does little harm: it makes a break somewhat less or more likely, no more.
"""

LEANING = frozenset(
    # English
    "a an the and or but nor so as at by for from in into of on onto over than that to under with "
    "without about between during if because while when which who whose my your his her its our "
    "their this these those is are was were be not no i you he she it we they "
    # French
    "le la les un une des du de et ou mais donc car ni à au aux en dans par pour sur sous sans "
    "avec chez vers que qui dont où si quand comme mon ton son ma ta sa mes tes ses notre votre "
    "leur leurs ce cet cette ces je tu il elle nous vous ils elles ne "
    # German
    "der die das den dem des ein eine einen einem einer eines und oder aber denn im am zum zur "
    "vom von zu mit nach bei aus auf für durch gegen ohne um dass weil wenn ob mein dein sein "
    "ihr unser ich du er sie wir nicht kein keine "
    # Spanish, Portuguese, Italian
    "el los las una unos unas del al y e o pero con sin sobre entre por para porque cuando su sus "
    "mi mis tu tus este esta yo se no "
    "os as um uma do da dos das no na nos nas ao à com sem mas meu minha seu sua eu não "
    "lo gli il uno di dal dalla nel nella sul sulla che per tra fra mio mia suo io non".split()
)
