"""Load config/ into a SpecSet, or report every mistake in it at once.

Belongs here: files and YAML. Not here: what the rules mean (entities.py, mappings.py, connections.py, agreement.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import yaml

from crm_sync.errors import BadSpec
from crm_sync.specs.agreement import bound, judge_connections, judge_entities, judge_references, ordered
from crm_sync.specs.connections import ConnectionsFile, read_connections
from crm_sync.specs.entities import EntityFile, read_entity
from crm_sync.specs.mappings import MappingFile, read_mapping
from crm_sync.specs.model import Place, SpecSet
from crm_sync.specs.reading import NAME, Mistakes, Node
from crm_sync.specs.vocabulary import KINDS


def load(config_dir: Path, environment: Mapping[str, str] | None = None, kinds: Collection[str] = KINDS) -> SpecSet:
    """Read all rule files under `config_dir`.

    `environment` serves to report an address variable that is set but holds no https address; unset variables are no
    mistake here. `kinds` are the kinds of CRM that exist. Raises BadSpec with every mistake of every file.
    """
    reader = _Files(config_dir)
    if not config_dir.is_dir():
        reader.mistakes.add(".", 0, f"there is no directory {config_dir}", "set CRM_SYNC_CONFIG_DIR")
        raise BadSpec(reader.mistakes.found)
    mistakes = reader.mistakes
    entities, broken_entities = _entities(reader)
    mappings, broken = _mappings(reader, entities, broken_entities)
    connections: ConnectionsFile | None = None
    tree = reader.tree("connections.yaml", config_dir / "connections.yaml")
    if tree is not None:
        connections = read_connections("connections.yaml", tree, mistakes, kinds, environment)
    judge_entities(entities, connections.specs if connections else (), mistakes)
    judge_references(entities, mappings, mistakes)
    if connections is not None:
        judge_connections(connections, [*entities, *broken_entities], mappings, broken, mistakes)
    if mistakes.found or connections is None:
        raise BadSpec(sorted(mistakes.found, key=lambda m: (m.file, m.line, m.message)))
    return SpecSet(
        entities={name: entities[name].spec for name in ordered(entities)},
        connections=connections.specs,
        mappings={
            (name, entity): bound(
                spec, mappings[(spec.mappings, entity)], _objects(mappings, spec.mappings), entities[entity]
            )
            for name, spec in connections.specs.items()
            for entity in spec.entities
        },
        places=_places(connections, mappings),
    )


def _places(
    connections: ConnectionsFile, mappings: Mapping[tuple[str, str], MappingFile]
) -> dict[tuple[str, str], Place]:
    places = {(name, ""): Place(connections.file, connections.lines) for name in connections.specs}
    for name, spec in connections.specs.items():
        for entity in spec.entities:
            file = mappings[(spec.mappings, entity)]
            places[(name, entity)] = Place(file.file, file.lines)
    return places


def _objects(mappings: Mapping[tuple[str, str], MappingFile], directory: str) -> dict[str, str]:
    return {entity: file.spec.object for (where, entity), file in mappings.items() if where == directory}


def _entities(reader: _Files) -> tuple[dict[str, EntityFile], set[str]]:
    entities: dict[str, EntityFile] = {}
    broken: set[str] = set()
    for file, name, path in reader.named(reader.root / "entities"):
        tree = reader.tree(file, path)
        entity = None if tree is None else read_entity(file, name, tree, reader.mistakes)
        if entity is None:
            broken.add(name)
        else:
            entities[name] = entity
    if not entities and not broken:
        reader.mistakes.add("entities", 0, "there is no entity file", "write entities/<name>.yaml")
    return entities, broken


def _mappings(
    reader: _Files, entities: Mapping[str, EntityFile], broken_entities: Collection[str]
) -> tuple[dict[tuple[str, str], MappingFile], set[tuple[str, str]]]:
    mappings: dict[tuple[str, str], MappingFile] = {}
    broken: set[tuple[str, str]] = set()
    root = reader.root / "mappings"
    for directory in sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []:
        for file, name, path in reader.named(directory):
            tree = reader.tree(file, path)
            entity = entities.get(name)
            if entity is None and name not in broken_entities:
                known = ", ".join(sorted(entities))
                reader.mistakes.add(
                    file, 1, f"this maps the unknown entity {name!r}", f"known: {known}; rename the file"
                )
            mapping = None
            if tree is not None:
                mapping = read_mapping(file, directory.name, name, tree, entity, reader.mistakes)
            if mapping is None:
                broken.add((directory.name, name))
            else:
                mappings[(directory.name, name)] = mapping
    return mappings, broken


class _Files:
    """Rule files as trees; whatever cannot be read is a mistake, and reading goes on with the next file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mistakes = Mistakes()

    def named(self, directory: Path) -> list[tuple[str, str, Path]]:
        """Return (name relative to the root, stem, path) of the YAML files of a directory; odd names are mistakes."""
        out = []
        for path in sorted(directory.iterdir()) if directory.is_dir() else []:
            file = path.relative_to(self.root).as_posix()
            if path.name.startswith(".") or path.is_dir():
                continue
            if path.suffix != ".yaml":
                self.mistakes.add(file, 0, "this is no rule file", "rule files end in .yaml; move or rename it")
            elif not NAME.fullmatch(path.stem):
                self.mistakes.add(
                    file, 0, f"{path.stem!r} cannot be a name", "use lower-case letters, digits and _, at most 40"
                )
            else:
                out.append((file, path.stem, path))
        return out

    def tree(self, file: str, path: Path) -> Node | None:
        """Return the file as a tree, None (and one mistake) where it is missing, empty or no YAML."""
        try:
            text = path.read_text(encoding="utf-8-sig")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except FileNotFoundError:
            self.mistakes.add(file, 0, "the file is missing", f"write {file}")
            return None
        except OSError as error:
            self.mistakes.add(file, 0, f"the file cannot be read ({type(error).__name__})", "check its permissions")
            return None
        except UnicodeDecodeError:
            self.mistakes.add(file, 0, "the file is not UTF-8 text", "save it as UTF-8")
            return None
        except yaml.YAMLError as error:
            self._syntax(file, error)
            return None
        if root is None or (isinstance(root, yaml.MappingNode) and not root.value):
            self.mistakes.add(file, 1, "the file is empty", "fill or delete it")
            return None
        return self._node(file, root, {}, frozenset())

    def _syntax(self, file: str, error: yaml.YAMLError) -> None:
        line, message, hint = 1, "this is no valid YAML", "check indentation, colons and quotes around this line"
        if isinstance(error, yaml.MarkedYAMLError):
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark is not None else 1
            message = f"this is no valid YAML: {error.problem or error.context}"
            if "'\\t'" in str(error.problem):
                message, hint = "a tab stands where YAML wants spaces", "indent with spaces only"
        self.mistakes.add(file, line, message, hint)

    def _node(self, file: str, node: yaml.Node, done: dict[int, Node], open_: frozenset[int]) -> Node:
        line = node.start_mark.line + 1
        if id(node) in done:
            return done[id(node)]
        if id(node) in open_:
            self.mistakes.add(file, line, "an anchor contains itself", "write the part out")
            return Node(line, None)
        inside = open_ | {id(node)}
        out: Node
        if isinstance(node, yaml.MappingNode):
            out = Node(line, self._pairs(file, node, done, inside))
        elif isinstance(node, yaml.SequenceNode):
            out = Node(line, [self._node(file, item, done, inside) for item in node.value])
        else:
            out = Node(line, self._scalar(file, node))
        done[id(node)] = out
        return out

    def _pairs(
        self, file: str, node: yaml.MappingNode, done: dict[int, Node], open_: frozenset[int]
    ) -> dict[str, tuple[Node, int]]:
        pairs: dict[str, tuple[Node, int]] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = self._scalar(file, key) if isinstance(key, yaml.ScalarNode) else None
            if key.tag == "tag:yaml.org,2002:merge":
                self.mistakes.add(file, line, "'<<' is not supported in rule files", "write the keys out")
            elif not isinstance(name, str):
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                self.mistakes.add(file, line, f"the key {shown} is not read as a text", "put it in quotes")
            elif name in pairs:
                self.mistakes.add(
                    file,
                    line,
                    f"the key {name!r} stands here twice (first in line {pairs[name][1]})",
                    "remove one of them",
                )
            else:
                pairs[name] = (self._node(file, value, done, open_), line)
        return pairs

    def _scalar(self, file: str, node: yaml.Node) -> str | int | float | bool | None:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        text = str(node.value)
        if kind == "null":
            return None
        try:
            if kind in ("bool", "int", "float"):
                loader = yaml.SafeLoader("")
                made: str | int | float | bool = loader.construct_object(node)
                return made
        except ValueError:
            self.mistakes.add(file, node.start_mark.line + 1, f"{text!r} cannot be read as {kind}", "put it in quotes")
        return text
