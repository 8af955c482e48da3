"""The instruction of `hpsv3`, from its authors' module or a file."""

import pytest

from zo_dno.errors import InputError
from zo_dno.rewards.hpsv3 import instruction_file, read_instruction


def test_it_is_read_from_the_authors_module_without_running_it(tmp_path):
    module = tmp_path / "data_collator_qwen.py"
    module.write_text(
        'import nowhere\nINSTRUCTION = """Rate.\n{text_prompt}\n"""\n'
        'prompt_with_special_token = "Now: <|Reward|>\\n"\nraise SystemExit\n'
    )
    assert read_instruction(module) == "Rate.\n{text_prompt}\nNow: <|Reward|>\n"


def test_it_is_found_in_the_installed_package(tmp_path, monkeypatch):
    (tmp_path / "hpsv3" / "dataset").mkdir(parents=True)
    (tmp_path / "hpsv3" / "__init__.py").write_text("raise SystemExit\n")
    (tmp_path / "hpsv3" / "dataset" / "data_collator_qwen.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert instruction_file(None) == tmp_path / "hpsv3" / "dataset" / "data_collator_qwen.py"


def test_without_the_package_the_message_names_the_command():
    with pytest.raises(InputError, match=r"instruction of hpsv3 must .* Get it: pip install --no-deps hpsv3$"):
        instruction_file(None)


@pytest.mark.parametrize("text", ["Rate {text_prompt}", "Rate <|Reward|>", "{text_prompt} <|Reward|> <|Reward|>"])
def test_one_without_its_places_is_refused(text, tmp_path):
    (tmp_path / "it.txt").write_text(text)
    with pytest.raises(InputError, match=r"must have \{text_prompt\} and one <\|Reward\|>"):
        read_instruction(tmp_path / "it.txt")
