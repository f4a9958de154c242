"""Where the warehouse is and how to reach it: environment variables turned into one checked, frozen object."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from orchestration.errors import TierhouseError

TARGETS = ("embedded", "server", "cluster")
EMBEDDED_PORT = 18123
# In the checkout, so that a scheduler that starts elsewhere finds the same warehouse.
DEFAULT_HOME = Path(__file__).resolve().parents[2] / ".tierhouse"
_PREFIX_PATTERN = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Settings:
    """Resolved settings of one process. `home` is absolute, `port` the configured port (the one really in use may
    differ for the embedded target, see `client.ensure_running`), `port_is_explicit` whether a person chose it."""

    home: Path
    target: str
    prefix: str
    zone: str
    host: str
    port: int
    user: str
    password: str
    secure: bool
    cluster: str
    refusal_limit: float
    port_is_explicit: bool = False

    def __repr__(self) -> str:
        """Everything but the password, so that a traceback or a log line never shows it."""
        return f"Settings(home={str(self.home)!r}, target={self.target!r}, prefix={self.prefix!r}, url={self.url!r})"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read TIERHOUSE_* (and CLICKHOUSE_* for a remote target). Raises TierhouseError naming the bad variable."""
        variables = os.environ if environment is None else environment

        def value(name: str, default: str = "") -> str:
            return variables.get(name, "") or default

        target = value("TIERHOUSE_TARGET", "embedded")
        if target not in TARGETS:
            raise TierhouseError(f"TIERHOUSE_TARGET is {target!r}; choose one of {', '.join(TARGETS)}")
        prefix = value("TIERHOUSE_SCHEMA", "tierhouse")
        if not _PREFIX_PATTERN.fullmatch(prefix):
            raise TierhouseError(
                f"TIERHOUSE_SCHEMA is {prefix!r}; it must start with a lower-case letter and hold only a-z, 0-9 and _"
            )
        zone = value("TIERHOUSE_ZONE", "Asia/Shanghai")
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise TierhouseError(f"TIERHOUSE_ZONE is {zone!r}; name a time zone such as Asia/Shanghai") from None
        family = "TIERHOUSE" if target == "embedded" else "CLICKHOUSE"
        secure = target != "embedded" and _flag("CLICKHOUSE_SECURE", value("CLICKHOUSE_SECURE", "0"))
        host = value(f"{family}_HOST", "127.0.0.1" if target == "embedded" else "")
        if not host:
            raise TierhouseError(f"the target {target} needs CLICKHOUSE_HOST, the name of the ClickHouse server")
        cluster = value("CLICKHOUSE_CLUSTER") if target != "embedded" else ""
        if target == "cluster" and not cluster:
            raise TierhouseError("the target cluster needs CLICKHOUSE_CLUSTER, the cluster's name on the server")
        default_port = EMBEDDED_PORT if target == "embedded" else 8443 if secure else 8123
        return cls(
            home=Path(value("TIERHOUSE_HOME", str(DEFAULT_HOME))).expanduser().resolve(),
            target=target,
            prefix=prefix,
            zone=zone,
            host=host,
            port=_port(f"{family}_PORT", value(f"{family}_PORT", str(default_port))),
            user=value(f"{family}_USER", "default"),
            password=variables.get(f"{family}_PASSWORD", ""),
            secure=secure,
            cluster=cluster,
            refusal_limit=_share("TIERHOUSE_REFUSAL_LIMIT", value("TIERHOUSE_REFUSAL_LIMIT", "0.01")),
            port_is_explicit=bool(value(f"{family}_PORT")),
        )

    @property
    def url(self) -> str:
        """The address of the HTTP interface, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"

    def database(self, layer: str) -> str:
        """The ClickHouse database of a layer."""
        return f"{self.prefix}_{layer}"

    def environment(self) -> dict[str, str]:
        """The variables that give a child process (dbt, Dagster) these same settings."""
        family = "TIERHOUSE" if self.target == "embedded" else "CLICKHOUSE"
        variables = {
            "TIERHOUSE_HOME": str(self.home),
            "TIERHOUSE_TARGET": self.target,
            "TIERHOUSE_SCHEMA": self.prefix,
            "TIERHOUSE_ZONE": self.zone,
            "TIERHOUSE_REFUSAL_LIMIT": repr(self.refusal_limit),
            f"{family}_HOST": self.host,
            f"{family}_PORT": str(self.port),
            f"{family}_USER": self.user,
            f"{family}_PASSWORD": self.password,
        }
        if self.target != "embedded":
            variables |= {"CLICKHOUSE_SECURE": "1" if self.secure else "0", "CLICKHOUSE_CLUSTER": self.cluster}
        return variables


def _flag(name: str, text: str) -> bool:
    if text not in ("0", "1"):
        raise TierhouseError(f"{name} is {text!r}; set it to 0 or 1")
    return text == "1"


def _port(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65536:
        raise TierhouseError(f"{name} is {text!r}; set it to a port from 1 to 65535")
    return int(text)


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise TierhouseError(f"{name} is {text!r}; set it to a share from 0 to 1, such as 0.01")
    return share
