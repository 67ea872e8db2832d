"""Which letters a language is written in, and which little words it cannot do without.

The little words are among the commonest of each language and, as far as possible, of no other one here; a word that two
of them share counts for both. They tell a page of German from one of English, and nothing about what it says.
"""

from __future__ import annotations

from collections.abc import Mapping

SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "Latin": (
        "en", "de", "fr", "es", "it", "nl", "pt", "sv", "da", "no", "nb", "nn", "fi", "pl", "cs", "sk", "sl", "hr",
        "hu", "ro", "et", "lv", "lt", "tr", "vi", "id", "ms", "tl", "sw", "ca", "eu", "gl", "ga", "cy", "is", "mt",
        "sq", "af", "la",
    ),
    "Cyrillic": ("ru", "uk", "bg", "sr", "mk", "be", "kk", "ky", "mn", "tg"),
    "Greek": ("el",),
    "Arabic": ("ar", "fa", "ur", "ps"),
    "Hebrew": ("he", "yi"),
    "Devanagari": ("hi", "mr", "ne", "sa"),
    "Bengali": ("bn", "as"),
    "Tamil": ("ta",),
    "Thai": ("th",),
    "Hangul": ("ko",),
    "Han": ("zh", "ja"),
    "Hiragana": ("ja",),
    "Katakana": ("ja",),
    "Armenian": ("hy",),
    "Georgian": ("ka",),
}  # fmt: skip
"""Unicode script → languages (ISO 639-1) that are written in it."""

LITTLE_WORDS: Mapping[str, str] = {
    "en": "the and of to is that it you was for with this have not are but they what from would about which when your",
    "de": "der die das und ist nicht ich sie ein eine zu mit den dem von auf für sich auch aber wir dass werden wenn",
    "fr": "le la les et est une des que pas vous je pour dans qui sur avec ce il elle nous mais sont cette votre",
    "es": "el los las y es una que no por con para del se lo su como más pero usted está muy esto cuando porque",
    "it": "il lo gli e è una che non per con della di sono si mi ma come più questo anche quando perché essere nel",
    "nl": "het een en van is niet dat ik je de op zijn met voor maar ook er wij aan heeft deze wordt naar omdat",
    "pt": "o os as e é uma que não por com para da do se ele mas como mais você isso está quando porque seu muito",
}
"""Language → 24 little words."""


def scripts_of(language: str) -> tuple[str, ...]:
    """The scripts of a language code such as `en` or `pt-BR`; none where it is not known here."""
    code = language.partition("-")[0].partition("_")[0].lower()
    return tuple(script for script, languages in SCRIPTS.items() if code in languages)
