"""Where the files that are not code lie: beside `app/` in a checkout, inside it in an installed wheel."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent.parent
_BUNDLE = _HERE / "_bundle"
ROOT = _BUNDLE if _BUNDLE.is_dir() else _HERE.parent

TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
MIGRATIONS = ROOT / "migrations"
TRANSLATIONS = ROOT / "translations"
