import ipaddress
import random
import re

import pytest

from minillm.data.identity import birth_date, cn_id_ok, luhn_ok
from minillm.data.invented import KINDS, LANGUAGES, invent, invent_digits, sentence_with
from minillm.data.privacy import mask_emails

NETWORKS = [
    ipaddress.ip_network(n)
    for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


def many(kind, language="en", n=400):
    rng = random.Random(5)
    return [invent(kind, rng, language) for _ in range(n)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_state_gives_the_same_datum_and_another_gives_others(kind, language):
    assert many(kind, language) == many(kind, language)
    assert len(set(many(kind, language))) > 100


def test_cards_pass_luhn_and_have_a_test_prefix():
    for card in many("card"):
        digits = re.sub("[ -]", "", card)
        assert luhn_ok(card)
        assert digits[:6] in ("411111", "424242", "400000", "555555", "510510", "378282")
        assert len(digits) == (15 if digits[:2] == "37" else 16)


def test_identity_numbers_are_valid_and_of_nobody_alive():
    for number in many("cn_id"):
        assert cn_id_ok(number)
        born = birth_date(number)
        assert born is not None
        assert 1800 <= born.year <= 1859


def test_networks_are_those_reserved_for_documentation():
    versions = set()
    for text in many("ip"):
        address = ipaddress.ip_address(text)
        versions.add(address.version)
        assert any(address in network for network in NETWORKS)
    assert versions == {4, 6}


def test_telephones_are_fictional_and_mobiles_have_free_prefixes():
    for phone in many("phone"):
        digits = re.sub(r"\D", "", phone)
        if phone.startswith("+44"):
            assert digits.startswith("442079460")
            assert len(digits) == 12
        else:
            assert re.fullmatch(r"1?[2-9]\d[2-9]55501\d\d", digits)
    for mobile in many("cn_mobile"):
        digits = re.sub(r"\D", "", mobile.removeprefix("+86"))
        assert re.fullmatch(r"1(54|61|64)\d{8}", digits)


def test_mail_hosts_are_reserved():
    for mail in many("email"):
        host = mail.rpartition("@")[2]
        assert re.search(r"(^|\.)example(\.com|\.org|\.net)?$", host)
        assert mask_emails(mail)[1] == 1


def test_addresses_and_names():
    codes = [code for address in many("address") for code in re.findall(r"\b\d{5}$", address)]
    assert codes
    assert all(code.startswith("000") for code in codes)
    assert all(re.search(r"[路街道巷]\d+号", address) for address in many("address", "zh"))
    assert all(re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+", name) for name in many("name"))
    assert all(re.fullmatch(r"[\u4e00-\u9fff]{2,3}", name) for name in many("name", "zh"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_says_where_its_datum_stands(kind, language):
    rng = random.Random(5)
    for _ in range(50):
        state = rng.getstate()
        text, start, end = sentence_with(kind, rng, language)
        rng.setstate(state)
        rng.choice("abc")  # the sentence is chosen first
        assert text[start:end] == invent(kind, rng, language)
        assert 0 <= start < end <= len(text)
        assert len(text) > end - start


def test_digits():
    assert re.fullmatch(r"\d{20}", invent_digits(random.Random(0), 20))
    assert invent_digits(random.Random(0), 0) == ""
    assert set(invent_digits(random.Random(0), 500)) == set("0123456789")


def test_unknown_kinds_and_languages_are_refused():
    with pytest.raises(ValueError, match="unknown kind 'shoe size', choose from email"):
        invent("shoe size", random.Random(0))
    with pytest.raises(ValueError, match="unknown language 'la', choose from en, zh"):
        sentence_with("name", random.Random(0), "la")
