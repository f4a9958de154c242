"""The command `tierhouse`: parses, calls, prints. Each command ends with numbers, or with one line that says what to do."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from orchestration.errors import TierhouseError
from orchestration.landing.contract import TABLES
from orchestration.terminal import printable
from orchestration.warehouse.settings import Settings
from orchestration.words_zh import said

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from orchestration.landing.report import LandingReport


class _Commands(click.Group):
    """Shows a failure that a person can act on as one line."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except TierhouseError as error:
            click.echo(f"tierhouse: {printable(str(error))}", err=True)
            sys.exit(1)
        except Exception as error:
            from orchestration.failures import told_in_one_line

            line = told_in_one_line(error)
            if line is None:
                raise
            click.echo(f"tierhouse: {printable(line)}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("tierhouse: interrupted; what was under way is repaired by the next run", err=True)
            sys.exit(130)


class _Day(click.ParamType):
    name = "date"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(str(value), "%Y-%m-%d").date()
        except ValueError:
            self.fail(f"`{value}` is not a date like 2026-01-31", param, context)


class _Customer(click.ParamType):
    name = "customer_id"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> int:
        text = str(value)
        if text.isascii() and text.isdigit() and int(text) < 2**64:
            return int(text)
        from orchestration.explain import customer_list

        listed = customer_list(Settings.from_environment())
        self.fail(f"`{text}` is no customer id, which is a whole number; {listed} lists all who have a tier")


DAY = _Day()
CUSTOMER = _Customer()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tierhouse")
def main() -> None:
    """Tiers of a distributor's customers, every morning: which one each is in, why, and what to do about it."""
    # Libraries announce previews and deprecations to those who build with them, not to those who run this.
    warnings.simplefilter("ignore")
    for library in ("clickhouse_connect", "urllib3"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    # A handler of ours keeps libraries from setting up one of theirs.
    logging.getLogger().addHandler(logging.NullHandler())


@main.command()
@click.option(
    "--customers", type=click.IntRange(1, 5_000_000), default=1500, show_default=True, help="Customers it serves."
)
@click.option(
    "--days", type=click.IntRange(30, 3660), default=240, show_default=True, help="Days of orders, up to yesterday."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another number makes other customers and orders.")
def demo(customers: int, days: int, seed: int) -> None:
    """Make a synthetic fresh-food order system and land it."""
    from orchestration.landing import generator

    client, settings = _warehouse()
    started = time.monotonic()
    report = generator.land_demo(client, settings, customers=customers, days=days, seed=seed, progress=_show)
    _print_landing(report, time.monotonic() - started)


def _print_columns(context: click.Context, param: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    from orchestration.tables import column_table

    click.echo(column_table(name))
    context.exit()


@main.command(epilog=f"Tables: {', '.join(TABLES)}.")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--columns",
    type=click.Choice(list(TABLES)),
    metavar="TABLE",
    is_eager=True,
    expose_value=False,
    callback=_print_columns,
    help="Print the columns of a table, and land nothing.",
)
def land(directory: Path) -> None:
    """Land a folder of files in the landing contract.

    A file or a folder of files has the name of its table: orders.parquet, order_lines.csv.gz, refunds/*.jsonl. Only orders and
    order_lines are required.
    """
    from orchestration.landing.files import land_directory
    from orchestration.lock import writer_lock

    client, settings = _warehouse()
    started = time.monotonic()
    with writer_lock(settings, f"tierhouse land {directory}"):
        report = land_directory(client, settings, directory, progress=_show)
    _print_landing(report, time.monotonic() - started)


@main.command()
@click.option(
    "--as-of",
    type=DAY,
    help="The day to bring the warehouse up to. Default: the last complete business day of the data.",
)
@click.option("--from", "start", type=DAY, help="First day of a range. Default: of the first order.")
@click.option("--to", "end", type=DAY, help="Last day of a range. Default: the last complete one.")
@click.option(
    "--every",
    type=click.IntRange(1, 366),
    default=1,
    show_default=True,
    help="Of a range, take each n-th day, back from its end.",
)
@click.option(
    "--restate",
    is_flag=True,
    help="Rebuild published days of the range with all that is known now; record what changed.",
)
@click.option("--full", is_flag=True, help="Make the facts anew from landing instead of from what changed.")
@click.option("--again", is_flag=True, help="Make the day anew although nothing has changed since it was made.")
def refresh(
    as_of: date | None, start: date | None, end: date | None, every: int, restate: bool, full: bool, again: bool
) -> None:
    """Bring the warehouse up to a day, and publish its tiers.

    Facts, features, scores, tiers, checks, marts. Ends at once where nothing has changed since the last refresh, if that was of
    this day.

    Of a range every day is built, oldest first: --from alone goes up to the last complete business day of the data, --to alone
    begins with the first order.
    """
    from orchestration import refresh as refreshing

    started = time.monotonic()
    published = None
    for published in refreshing.refresh(as_of, start, end, full, every, restate, again):
        seconds = time.monotonic() - started
        done = "tiers decided again"
        if published.unchanged_since:
            click.echo(
                f"{published.as_of_date}  unchanged since the refresh of {_local(published.unchanged_since)}: the marts stand\n"
                f"            ({published.customer_count:,} customers; --again remakes them)"
            )
            continue
        if published.customer_count is not None:
            done = f"{published.customer_count:,} customers {'restated' if restate else 'published'}"
        click.echo(f"{published.as_of_date}  {done}, {seconds:.1f} s")
    if published:
        _print_tiers(published.as_of_date)


FORMAT = click.option(
    "--format",
    "style",
    type=click.Choice(["pretty", "csv", "json"]),
    default="pretty",
    show_default=True,
    help="How the answer is written.",
)
LANGUAGE = click.option(
    "--lang", "language", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="English or Chinese."
)


@main.command()
@click.option("--as-of", type=DAY, help="Published day whose end bounds what is known. Default: the last one.")
@LANGUAGE
def predict(as_of: date | None, language: str) -> None:
    """Predict the week: products to offer, sales to expect.

    Ten products for each customer, and net sales of eight weeks. Not part of a refresh.
    """
    from orchestration import predict as predicting
    from orchestration.tables import forecast_table, recommendation_table

    started = time.monotonic()
    day = predicting.predict(as_of)
    client, settings = _warehouse()
    click.echo(f"{recommendation_table(client, settings, day, language)}\n")
    click.echo(forecast_table(client, settings, day, language))
    click.echo(said(language, "{day}  predicted in {seconds} s", day=day, seconds=f"{time.monotonic() - started:.1f}"))


@main.command()
@click.option("--as-of", type=DAY, help="Last day whose knowledge counts. Default: the last refreshed month end.")
@LANGUAGE
def evaluate(as_of: date | None, language: str) -> None:
    """Judge every model against what is simple.

    Only who beats the best baseline by more than its interval serves.
    """
    from orchestration import evaluate as evaluating
    from orchestration.tables import evaluation_table

    started = time.monotonic()
    day = evaluating.evaluate(as_of)
    click.echo(evaluation_table(*_warehouse(), day, language))
    click.echo(said(language, "{day}  evaluated in {seconds} s", day=day, seconds=f"{time.monotonic() - started:.1f}"))


@main.command()
@click.option("--as-of", type=DAY, help="The stored day to review. Default: the latest.")
@LANGUAGE
def review(as_of: date | None, language: str) -> None:
    """Where the standards cut now, and what would restore the quotas.

    A proposal: nothing is changed.
    """
    from orchestration import review as reviewing
    from orchestration.tables import review_table

    started = time.monotonic()
    day = reviewing.review(as_of)
    click.echo(review_table(*_warehouse(), day, language))
    done = "{day}  reviewed in {seconds} s; nothing is changed"
    click.echo(said(language, done, day=day, seconds=f"{time.monotonic() - started:.1f}"))


@main.command()
def replay() -> None:
    """Decide all stored days again from their inputs, and compare.

    Proof that every tier follows from what is stored: none may differ.
    """
    from orchestration.replay import replay as replaying

    states = differing = 0
    for part in replaying(*_warehouse()):
        states, differing = states + part.state_count, differing + part.differing_count
        _show(f"{states:,} states")
    _show("")
    if differing:
        raise TierhouseError(f"{differing:,} of {states:,} states differ from the replay; see docs/state_machine.md")
    click.echo(f"{states:,} states decided again, 0 differ from the stored ones")


@main.command()
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Change one value of the seeds.")
@click.option(
    "--seeds", "directory", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder with seeds."
)
@click.option("--policy", help="Put this policy in force.")
@click.option("--as-of", type=DAY, help="The stored day to simulate. Default: the latest.")
@click.option("--rules-of", type=DAY, help="The day whose version of the seeds counts. Default: the as-of day.")
@click.option(
    "--weeks", type=click.IntRange(0, 520), default=52, show_default=True, help="Weeks to replay; 0: only today."
)
@click.option("--renormalise", is_flag=True, help="Scale weights that do not sum to 1.")
@click.option("--movers", type=click.IntRange(0, 100_000), default=10, show_default=True, help="Customers to name.")
@FORMAT
@click.option(
    "--table",
    type=click.Choice(["migration", "tiers", "stability", "movers", "customers"]),
    help="The table to print as csv (default: migration); in json only this one.",
)
@LANGUAGE
def simulate(
    assignments: tuple[str, ...],
    directory: Path | None,
    policy: str | None,
    as_of: date | None,
    rules_of: date | None,
    weeks: int,
    renormalise: bool,
    movers: int,
    style: str,
    table: str | None,
    language: str,
) -> None:
    """What other seeds would do today and would have done before.

    To today's base, and in the past weeks. Writes nothing.

    Names for --set: f_weight, headroom_weight, policy.COLUMN (or COLUMN), model.COLUMN, TIER.COLUMN, GATE.threshold; as in
    --set gold.minimum_orders_per_month=6 --set confirm_down_decisions=4. Seeds that --seeds lacks are the project's.
    """
    from orchestration.simulation.proposal import later_versions, proposed_seeds
    from orchestration.simulation.report import answer
    from orchestration.simulation.run import Simulator, choose_day, stored_days
    from orchestration.terminal import plain_text

    client, settings = _warehouse()
    day = choose_day(stored_days(client, settings), as_of)
    seeds = proposed_seeds(directory, assignments, rules_of or day, policy, renormalise)
    simulator = Simulator(client, settings, seeds, day, rules_of)
    click.echo(answer(simulator, seeds, rules_of or day, weeks, movers, style, table, language), nl=False)
    later = later_versions(seeds, rules_of or day)
    if later and style == "pretty":
        text = "{versions} begins later and does not count; --rules-of picks the day that does"
        click.echo(plain_text(said(language, "note: ") + said(language, text, versions=", ".join(later))))


@main.command()
@click.argument("customer_id", type=CUSTOMER)
@click.option("--as-of", type=DAY, help="A published day. Default: the latest.")
@LANGUAGE
def explain(customer_id: int, as_of: date | None, language: str) -> None:
    """Why a customer is in its tier, and what keeps or raises it.

    The smallest change of each measure that keeps the tier, and that gains the next one.
    """
    from orchestration.explain import explain as explaining
    from orchestration.reason_card import reason_card

    click.echo(reason_card(explaining(*_warehouse(), customer_id, as_of), language))


@main.command()
@click.option("--host", help="Address to listen on. Default: TIERHOUSE_HOST or 127.0.0.1.")
@click.option("--port", type=int, help="Port to listen on. Default: TIERHOUSE_PORT or 18123.")
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    help="Folder of the warehouse. Default: TIERHOUSE_HOME or .tierhouse in the checkout.",
)
def serve(host: str | None, port: int | None, path: Path | None) -> None:
    """Run the embedded warehouse until it is stopped."""
    if host:
        os.environ["TIERHOUSE_HOST"] = host
    if port is not None:
        os.environ["TIERHOUSE_PORT"] = str(port)
    if path:
        os.environ["TIERHOUSE_HOME"] = str(path)
    from orchestration.warehouse.serve import serve as run

    run(Settings.from_environment())


@main.command()
@click.argument("statement")
@FORMAT
def sql(statement: str, style: str) -> None:
    """Ask the warehouse."""
    formats = {"pretty": "PrettyCompactMonoBlock", "csv": "CSVWithNames", "json": "JSONEachRow"}
    client, _ = _warehouse()
    # As a header, so that a FORMAT in the statement counts.
    answer = client.raw_query(
        statement,
        settings={"output_format_pretty_color": 0},
        transport_settings={"X-ClickHouse-Format": formats[style]},
    )
    sys.stdout.buffer.write(answer)


@main.command()
def doctor() -> None:
    """Check settings, connections, seeds, versions; say what to do."""
    from orchestration.doctor import examine
    from orchestration.terminal import plain_text

    healthy = True
    for name, problem in examine():
        click.echo(plain_text(f"{'ok  ' if not problem else 'FAIL'} {name}{': ' + problem if problem else ''}"))
        healthy = healthy and not problem
    if not healthy:
        raise TierhouseError("mend what is marked FAIL, then run `tierhouse doctor` again")


def _warehouse() -> tuple[Client, Settings]:
    """The warehouse that the environment names, started where it is not running."""
    from orchestration.warehouse.client import connect, ensure_running

    settings = ensure_running(Settings.from_environment())
    return connect(settings, autogenerate_session_id=False), settings


def _local(moment: datetime) -> str:
    """Date and minute of a moment in UTC, in the business zone."""
    zone = ZoneInfo(Settings.from_environment().zone)
    return f"{moment.replace(tzinfo=UTC).astimezone(zone):%Y-%m-%d %H:%M}"


def _show(message: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\033[K  {message}", nl=False, err=True)


def _print_landing(report: LandingReport, seconds: float) -> None:
    from orchestration.tables import landing_table
    from orchestration.terminal import plain_text

    _show("")
    click.echo(landing_table(report))
    for warning in report.warnings:
        click.echo(plain_text(f"warning: {warning}"))
    click.echo(f"landed in {seconds:.1f} s; next: `tierhouse refresh`")


def _print_tiers(as_of: date) -> None:
    from orchestration.tables import customer_to_explain, standards_hint, tier_table
    from orchestration.terminal import command

    client, settings = _warehouse()
    click.echo(tier_table(client, settings, as_of))
    hint = standards_hint(client, settings, as_of)
    if hint:
        click.echo(hint)
    customer = customer_to_explain(client, settings, as_of)
    if customer:
        click.echo(f"Next: {command()} explain {customer}")


if __name__ == "__main__":
    main()
