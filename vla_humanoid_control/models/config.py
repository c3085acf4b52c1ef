"""Configuration of a model: sizes, and the names of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path, read_yaml


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shape of the weights, besides the robot.

    Attributes:
        width: Width of every token, D.
        heads: Attention heads.
        vision, language, proprioception, fusion: `name` of a part in the registry, and its own
            settings.
        heads_hidden: Hidden width of the heads.
    """

    width: int
    heads: int
    vision: Mapping[str, Any]
    language: Mapping[str, Any]
    proprioception: Mapping[str, Any]
    fusion: Mapping[str, Any]
    heads_hidden: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Any, where: str) -> ModelConfig:
        """Check plain data, as read from a file.

        Raises:
            UserError: A setting is missing or unknown.
        """
        fields = set(ModelConfig.__dataclass_fields__)
        if not isinstance(data, dict) or set(data) != fields:
            given = set(data) if isinstance(data, dict) else set()
            raise UserError(f'Model configuration {where}: needs exactly {sorted(fields)}; '
                            f'missing {sorted(fields - given)}, unknown {sorted(given - fields)}.')
        for part in ('vision', 'language', 'proprioception', 'fusion'):
            if not isinstance(data[part], dict) or 'name' not in data[part]:
                raise UserError(f'Model configuration {where}: {part} needs a name.')
        return ModelConfig(**data)


def load_model_config(name_or_path: str) -> ModelConfig:
    """Read a model configuration: a name in `config/models/`, or the path of a YAML file."""
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_path('models', f'{name_or_path}.yaml')
    return ModelConfig.from_dict(read_yaml(
        path, 'Model configuration', 'Give a name in config/models/ or the path of a YAML file.'),
        str(path))
