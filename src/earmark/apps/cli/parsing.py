"""Turn functions into commands: every field of a class of options becomes an option."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import typer
from typer.core import TyperCommand

from earmark.errors import EarmarkError


class Command(TyperCommand):
    """A command that refuses an option with a value given twice; Typer would take the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for option in self.params:
            _check_filled(option, values.get(option.name))
            is_single = not getattr(option, "is_flag", False) and not option.multiple
            if is_single and order.count(option) > 1:
                raise EarmarkError(f"{option.opts[-1]} is given more than once. Give it once.")
        return super().parse_args(ctx, args)


def _check_filled(option: Any, value: object) -> None:
    """Refuse an empty text; it would mean the current folder, or that nothing was given."""
    for text in value if isinstance(value, (list, tuple)) else [value]:
        is_empty = isinstance(text, str) and not text.strip()
        if is_empty and not (text and option.name == "separator"):  # blanks may separate
            name = (
                option.opts[-1]
                if option.opts[-1].startswith("-")
                else option.metavar or option.name.upper()
            )
            raise EarmarkError(f"{name} is empty. Give it a value, or leave it out.")


def new_app(help: str) -> typer.Typer:
    """Return a group of commands; without a command it shows its help."""
    return typer.Typer(
        name="earmark",
        help=help,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def add(app: typer.Typer, *commands: Callable[..., None]) -> None:
    """Add commands to ``app``, each under the first word of its function's name."""
    for command in commands:
        name, first = command.__name__.partition("_")[0], (command.__doc__ or "").partition("\n")[0]
        # Without short_help, Typer would shorten the first line to fit.
        app.command(name, cls=Command, short_help=first)(flat(command))


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` for Typer: each field of its dataclasses becomes a parameter."""
    hints = get_type_hints(command)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        types = get_type_hints(groups[name])
        for field in fields(groups[name]):
            changes = {"name": field.name, "annotation": types[field.name]}
            parameters.append(parameter.replace(**changes, default=field.default))

    def call(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{f.name: values.pop(f.name) for f in fields(group)})
        command(**values)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call
