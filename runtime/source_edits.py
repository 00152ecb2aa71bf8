"""Other values for params and settings, written into the text of a file.

In: a file's tree and text, overrides.  Out: its text with them.

    resolve(parse(source), source, {"width": "64", "epochs": "5"})
        # digits.dln with: width = 64, epochs = 5
        network digits
        param  width = 64
        …

An override is looked for as the elaborator does it: a param, a key of `train`, a key of `data` (`data.seed` where both
have it), an argument of the optimizer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..compiler import syntax
from ..compiler.elaborate.settings import DATA_KEYS, TRAIN_KEYS
from ..compiler.parse import parse_expression
from ..compiler.source import Source

Section = syntax.TrainDeclaration | syntax.DataDeclaration


def resolve(module: syntax.Module, main: Source, overrides: Mapping[str, str]) -> str:
    """The text of the main file with other values for its params and settings."""
    if not overrides:
        return main.text
    edit = _Edit(module, main)
    parameters = {d.name: d for d in module.declarations if isinstance(d, syntax.ParameterDeclaration)}
    arguments: dict[str, str] = {}
    settings: dict[str, str] = {}
    for name, value in overrides.items():
        if name in parameters:
            edit.replace(parameters[name].value, value)
        elif name.removeprefix("train.") in TRAIN_KEYS:
            settings[name.removeprefix("train.")] = value
        elif name.removeprefix("data.") in DATA_KEYS:
            edit.set("data", name.removeprefix("data."), value)
        else:
            arguments[name.removeprefix("optimizer.")] = value
    if arguments:
        call = settings.get("optimizer") or edit.value("train", "optimizer") or "adam"
        for name, value in arguments.items():
            call = with_argument(call, name, value)
        settings["optimizer"] = call
    for key, value in settings.items():
        edit.set("train", key, value)
    what = ", ".join(f"{name} = {value}" for name, value in overrides.items())
    return f"# {os.path.basename(main.path)} with: {what}\n{edit.text()}"


class _Edit:
    """Replacements at places of one text."""

    def __init__(self, module: syntax.Module, main: Source):
        self.main = main
        self.edits: list[tuple[int, int, str]] = []
        self.added: dict[str, list[str]] = {}
        self.sections: dict[str, Section] = {}
        for declaration in module.declarations:
            match declaration:
                case syntax.TrainDeclaration():
                    self.sections["train"] = declaration
                case syntax.DataDeclaration():
                    self.sections["data"] = declaration

    def replace(self, node: syntax.Node, value: str) -> None:
        self.edits.append((node.span.start, node.span.end, value))

    def _setting(self, section: str, key: str) -> syntax.Setting | None:
        entries = self.sections[section].entries if section in self.sections else ()
        found = (e for e in entries if isinstance(e, syntax.Setting) and e.key == key and e.values)
        return next((e for e in found if e.span.source.path == self.main.path), None)

    def value(self, section: str, key: str) -> str:
        """What stands after a key, or ''."""
        setting = self._setting(section, key)
        return setting.values[0].span.to(setting.values[-1].span).text if setting is not None else ""

    def set(self, section: str, key: str, value: str) -> None:
        """Replace what stands after a key, or add a line to the section."""
        setting = self._setting(section, key)
        if setting is None:
            self.added.setdefault(section, []).append(f"  {key} {value}\n")
        else:
            self.edits.append((setting.values[0].span.start, setting.values[-1].span.end, value))

    def text(self) -> str:
        text, end = self.main.text, ""
        for section, lines in self.added.items():
            declaration = self.sections.get(section)
            if declaration is None or self.main.text[declaration.span.end - 1] != "}":
                end += f"\n{section} {{\n{''.join(lines)}}}\n"
            else:
                close = declaration.span.end - 1
                self.edits.append((close, close, "".join(lines)))
        for start, stop, value in sorted(self.edits, reverse=True):
            text = text[:start] + value + text[stop:]
        return text + end


def with_argument(call: str, name: str, value: str) -> str:
    """The text of an optimizer's call with another value for one named argument."""
    tree = parse_expression(call)
    if not isinstance(tree, syntax.Call):
        return f"{call}({name} = {value})"
    for given, old in tree.named:
        if given == name:
            return call[: old.span.start] + value + call[old.span.end :]
    inside = call.rstrip()[:-1].rstrip().rstrip(",")
    separator = "" if inside.endswith("(") else ", "
    return f"{inside}{separator}{name} = {value})"
