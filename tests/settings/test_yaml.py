"""Reading values: what YAML would turn into something else, and files that are no settings files."""

from __future__ import annotations

import os

import pytest

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.settings.schema import Input, Lora

TEXTS = [
    "123", "1.50", "007", "0x10", "1e5", "12:30:00", "2024-01-01", "on", "off", "yes", "no", "true", "none",
    "null", "~", "nan", "a: b", "- a", "# not a comment", "cat # dog", "[cat|dog] at sea", "{red} car",
    "*star*", "&amp", "!important", "50% grey", "@home", "`tick`", "it's", "'half", 'say "hi"', "a=b=c",
    "naïve café 猫 🎨", "two\nlines", "tab\there", "trailing ", " leading", "",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_option_takes_any_text_from_set(text):
    assert resolve(sets=[f"prompt={text}"]).settings.prompt == text


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_option_takes_any_text_from_a_flag(text):
    assert resolve(flags={"prompt": ("--prompt", text)}).settings.prompt == text


@pytest.mark.parametrize(
    "written", ["123", "1.50", "007", "1e5", "12:30:00", "2024-01-01", "on", "no", "true", "none"]
)
def test_a_text_option_in_a_file_keeps_what_was_written(tmp_path, written):
    config = tmp_path / "mine.yaml"
    config.write_text(f"prompt: {written}\n")
    assert resolve(configs=[str(config)]).settings.prompt == written


@pytest.mark.parametrize(
    ("written", "text"),
    [("'null'", "null"), ('"a: b"', "a: b"), ("'#1'", "#1"), ("", ""), ("''", ""), ("|\n  a\n  b", "a\nb")],
)
def test_quotes_and_blocks_in_a_file_are_those_of_yaml(tmp_path, written, text):
    config = tmp_path / "mine.yaml"
    config.write_text(f"prompt: {written}")
    assert resolve(configs=[str(config)]).settings.prompt == text


@pytest.mark.parametrize(
    ("value", "text"), [("'quoted'", "quoted"), ('"a\\tb"', "a\tb"), ("''", ""), ("'it''s'", "it's")]
)
def test_one_pair_of_quotes_around_a_set_value_is_removed(value, text):
    assert resolve(sets=[f"prompt={value}"]).settings.prompt == text


@pytest.mark.parametrize("word", ["true", "True", "on", "yes", "1"])
def test_switches_take_the_usual_words_for_on(word):
    assert resolve(sets=[f"diffusion.fresh_noise={word}"]).settings.diffusion.fresh_noise is True


@pytest.mark.parametrize("word", ["false", "False", "off", "no", "0"])
def test_switches_take_the_usual_words_for_off(word):
    assert resolve(sets=[f"diffusion.add_noise={word}"]).settings.diffusion.add_noise is False


@pytest.mark.parametrize("key", ["live", "deinterlace"])
def test_choices_of_on_and_off_take_the_words_of_switches(tmp_path, key):
    for word, meaning in {
        "on": "on",
        "true": "on",
        "Yes": "on",
        "off": "off",
        "False": "off",
        "auto": "auto",
    }.items():
        config = tmp_path / "mine.yaml"
        config.write_text(f"input:\n  {key}: {word}\n")
        for settings in (
            resolve(configs=[str(config)]).settings,
            resolve(sets=[f"input.{key}={word}"]).settings,
        ):
            assert getattr(settings.input, key) == meaning
    assert getattr(Input(**{key: True}), key) == "on"
    with pytest.raises(ConfigError, match="must be one of auto, on, off, not 'maybe'"):
        resolve(sets=[f"input.{key}=maybe"])


@pytest.mark.parametrize("written", ["4e-1", ".4", "0.40", " 0.4 "])
def test_numbers_in_any_usual_spelling(written):
    assert resolve(sets=[f"diffusion.strength={written}"]).settings.diffusion.strength == 0.4


def test_the_bank_called_none_is_a_name(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("bank:\n  kind: none\ndiffusion: {guidance: {kind: none}}\nweights: {lcm_lora: none}\n")
    settings = resolve(configs=[str(config)]).settings
    assert (settings.bank.kind, settings.diffusion.guidance.kind, settings.weights.lcm_lora) == ("none",) * 3
    assert resolve(sets=["bank.kind=none"]).settings.bank.kind == "none"


@pytest.mark.parametrize("value", ["null", "~", "none", "None", ""])
def test_an_optional_value_can_be_left_out(value):
    settings = resolve(
        sets=[f"output.crf={value}", f"output.preset={value}", f"weights.config={value}"]
    ).settings
    assert (settings.output.crf, settings.output.preset, settings.weights.config) == (None, None, None)


@pytest.mark.parametrize(
    "value", ["[mid,up.0]", "[ mid , up.0 ]", "mid,up.0", "mid, up.0", "['mid', \"up.0\"]"]
)
def test_lists_of_layers(value):
    assert resolve(sets=[f"bank.fuse.layers={value}"]).settings.bank.fuse.layers == ("mid", "up.0")


@pytest.mark.parametrize("value", ["none", "[]", "[none]", ""])
def test_no_layers(value):
    assert resolve(sets=[f"bank.fuse.layers={value}"]).settings.bank.fuse.layers == ()


@pytest.mark.parametrize(
    ("value", "loras"),
    [
        ("[a.safetensors:0.5]", [("a.safetensors", 0.5)]),
        ("a.safetensors:0.5", [("a.safetensors", 0.5)]),
        ("[a.safetensors:0.5, owner/name]", [("a.safetensors", 0.5), ("owner/name", 1.0)]),
        ("[{source: 'C:\\a b.safetensors', weight: -1}]", [("C:\\a b.safetensors", -1.0)]),
        ("{source: a}", [("a", 1.0)]),
        ("C:\\loras\\a.safetensors", [("C:\\loras\\a.safetensors", 1.0)]),
        ("C:\\loras\\a.safetensors:2", [("C:\\loras\\a.safetensors", 2.0)]),
        ("[]", []),
        ("none", []),
        ("", []),
    ],
)
def test_loras(value, loras):
    expected = tuple(Lora(source=source, weight=weight) for source, weight in loras)
    assert resolve(sets=[f"weights.loras={value}"]).settings.weights.loras == expected


@pytest.mark.parametrize(
    ("value", "size"), [("512", 512), ("native", "native"), ("640x360", "640x360"), ("640X0360", "640x360")]
)
def test_sizes(value, size):
    assert resolve(sets=[f"frame.size={value}"]).settings.frame.size == size


def test_lookahead_is_a_number_or_auto():
    assert resolve(sets=["lookahead=4"]).settings.lookahead == 4
    assert resolve(sets=["lookahead=auto"]).settings.lookahead == "auto"


def test_keys_in_a_file_may_be_dotted_and_groups_empty(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("bank.fuse.alpha: 0.5\nbank:\n  kind: queue\n  fuse:\noutput:\n")
    settings = resolve(configs=[str(config)]).settings
    assert (settings.bank.fuse.alpha, settings.bank.kind) == (0.5, "queue")


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "{}", "null", "\ufeffseed: 0\n"])
def test_a_file_may_say_nothing(tmp_path, text):
    config = tmp_path / "mine.yaml"
    config.write_text(text, encoding="utf-8")
    assert resolve(configs=[str(config)]).settings == resolve().settings


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"seed: 1\nseed: 2\n", "line 2, column 1: the key 'seed' is there twice"),
        (b"bank: {kind: queue}\nbank.kind: none\n", "the key 'bank.kind' is there twice"),
        (b"bank: {size: 1, size: 2}\n", "the key 'size' is there twice"),
        (b"- seed\n- prompt\n", "holds a list"),
        (b"seed\n", "holds a single value"),
        (b"seed: [1\n", "line 2, column 1"),
        (b"seed: 1\n  bank: 2\n", "line 2"),
        (b"\tseed: 1\n", "line 1, column 1"),
        (b"? [a, b]\n: 1\n", "a key must be a name"),
        (b"a: &x {b: 1}\nc: *x\n", "aliases"),
        (b"a: &x [*x]\n", "aliases"),
        (b"seed: !!python/object/apply:os.getcwd []\n", "the tag"),
        (b"seed: !secret 1\n", "the tag !secret is not supported"),
        (b"seed: 1\n---\nseed: 2\n", "expected a single document"),
        (b"prompt: caf\xe9\n", "is not UTF-8 text"),
        (b"\x00\x00\x00\x1cftypisom", "U+0000"),
        (b"\x89PNG\r\n\x1a\n", "is not UTF-8 text"),
        (b"[" * 5000, "nested too deeply"),
        (b"#" * (1 << 20) + b"\n", "larger than 1 MiB"),
    ],
)
def test_files_that_cannot_be_meant(tmp_path, content, words):
    config = tmp_path / "mine.yaml"
    config.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        resolve(configs=[str(config)])
    assert str(config) in caught.value.message
    assert words in caught.value.message


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        resolve(configs=[str(tmp_path)])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("seed: 1\n")
    config.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        resolve(configs=[str(config)])


@pytest.mark.parametrize(
    ("name", "near"), [("papr", "paper"), ("real-time", "realtime"), ("Baseline", "baseline")]
)
def test_a_name_that_is_nothing_lists_the_presets_and_the_nearest(name, near):
    with pytest.raises(ConfigError) as caught:
        resolve(configs=[name])
    assert f"Did you mean '{near}'?" in caught.value.message
    assert (
        caught.value.remedy
        == "The presets are baseline, default, fidelity, lossless, paper, published, realtime, steady."
    )


def test_a_missing_file_is_no_preset(tmp_path):
    with pytest.raises(ConfigError, match="neither a preset nor a file"):
        resolve(configs=[str(tmp_path / "none.yaml")])
    with pytest.raises(ConfigError, match="neither a preset nor a file"):
        resolve(configs=[""])


@pytest.mark.parametrize("text", ["a", "", "=1", " = 1", "bank.kind"])
def test_set_needs_key_and_value(text):
    with pytest.raises(ConfigError, match=r"expected key=value\. For example: --set bank\.kind=queue"):
        resolve(sets=[text])


@pytest.mark.parametrize("value", ["[1", "{a", "{a: 1, a: 2}", "[*a]"])
def test_a_broken_list_names_the_key(value):
    with pytest.raises(ConfigError, match=r"^--set bank\.fuse\.layers, line 1, column"):
        resolve(sets=[f"bank.fuse.layers={value}"])
