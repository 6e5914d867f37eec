"""A real browser as an EHR: discovery, prefetch, cards drawn, a suggestion accepted, an override with its reason.

The page (ehr.html) signs its own tokens. It needs Chromium: `chromium` on the path, or FHIR_CDS_CHROMIUM.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import conftest
import ehr
import pytest
from joserfc.jwk import ECKey
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

from fhir_cds.fhir import bundle
from fhir_cds.server.app import create_app
from fhir_cds.server.sandbox import Store, application
from fhir_cds.server.settings import Settings
from fhir_cds.server.state import Loaded

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("FHIR_CDS_CHROMIUM") or shutil.which("chromium") or "chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
FLAGS += ("--disable-component-update", "--disable-sync")
ISS = "https://ehr.example.org"
PLANTED = "Sarcoma <img src=x onerror=\"document.title='owned'\"> | [x](javascript:alert(1)) `y"
HOSTILE = "hostile"
Open = Callable[..., Page]


def render(text: str) -> str:
    """Return Markdown as HTML the way a careless client draws it: HTML in it is let through."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def patients() -> Store:
    """Return the sample patients, and one of them again with markup planted in every text of a code."""
    original = ehr.bundle("after-resection-one-overdue")
    planted = json.loads(json.dumps(original).replace('"elif', f'"{HOSTILE}').replace("/elif", f"/{HOSTILE}"))
    for entry in planted["entry"]:
        if isinstance(entry["resource"].get("code"), dict):
            entry["resource"]["code"]["text"] = PLANTED
    names = sorted(path.stem for path in ehr.PATIENTS.glob("*.json"))
    return Store({**{name: ehr.bundle(name) for name in names}, HOSTILE: bundle_of(planted)})


def bundle_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return a Bundle after checking that it can be read."""
    assert bundle.read(document, where=HOSTILE).resources
    return document


class Site:
    """The EHR's own site: its page, the setup of one chart, the Markdown renderer, and its FHIR server."""

    def __init__(self) -> None:
        self.setup: dict[str, Any] = {}
        page = Path(__file__).parent / "ehr.html"

        async def setup(_request: Request) -> Response:
            return JSONResponse(self.setup)

        async def rendered(request: Request) -> Response:
            return HTMLResponse(render((await request.body()).decode()))

        async def chart(_request: Request) -> Response:
            return FileResponse(page)

        routes = [
            Route("/", chart),
            Route("/setup.json", setup),
            Route("/render", rendered, methods=["POST"]),
            Mount("/fhir", application(patients())),
        ]
        self.application = Starlette(routes=routes)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a headless Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def chart(
    browser: Browser, content: Loaded, serve: Callable[[Starlette], str], tmp_path: Path
) -> Iterator[tuple[Open, Starlette]]:
    """Return a function that opens a patient's chart and waits for its cards, and the service behind."""
    key = ECKey.generate_key("P-384", {"kid": "browser"})
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    site = Site()
    own = serve(site.application)
    settings = Settings(
        mode="development",
        issuers=({"iss": ISS, "jwks_file": tmp_path / "jwks.json"},),  # type: ignore[arg-type]
        cors_origins=(own,),
        feedback_url=f"sqlite:///{tmp_path}/f.sqlite3",
    )
    service = create_app(content, settings, clock=conftest.clock)
    address = serve(service)
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def open_chart(patient: str, *withheld: str, key: ECKey = key) -> Page:
        secret = {**key.as_dict(private=True), "kid": "browser"}
        site.setup = {"service": address, "fhir": f"{own}/fhir", "iss": ISS, "key": secret, "patient": patient}
        site.setup |= {"now": int(conftest.NOW.timestamp()), "withheld": withheld}
        page.goto(own)
        return page

    yield open_chart, service
    page.close()
    assert errors == []


def counts(service: Starlette) -> dict[str, Any]:
    """Return what the store holds, by recommendation."""
    service.state.fhir_cds.audit.close()
    return {count.recommendation: count for count in service.state.fhir_cds.store.counts()}


def test_cards_are_drawn(chart: tuple[Open, Starlette]) -> None:
    """The chart shows the cards of all services, with the schedule as a table and the grade with its link."""
    page = chart[0]("elif")
    expect(page.locator("#state")).to_have_text("2 cards, 0 services failed", timeout=20_000)
    card = page.locator("article.warning")
    expect(card.locator("h2")).to_contain_text("overdue")
    expect(card.locator("table td", has_text="overdue")).to_have_count(1)
    expect(card.locator("a", has_text="Ibero-American consensus 2025, 13.1")).to_have_attribute(
        "href", "https://doi.org/10.3390/cancers17081295"
    )
    expect(card.locator("li", has_text="Excision of liver metastasis")).to_have_count(1)
    assert "**" not in card.inner_text()


def test_suggestion_accepted(chart: tuple[Open, Starlette]) -> None:
    """Accepting the care plan creates orders and plan together; the feedback is in the store."""
    open_chart, service = chart
    page = open_chart("elif")
    page.get_by_role("button", name="create the care plan").click(timeout=20_000)
    expect(page.locator(".outcome")).to_contain_text("CarePlan")
    expect(page.locator(".outcome")).to_contain_text("ServiceRequest")
    assert counts(service)["ibero2025:13.1"].accepted == 1


def test_override_with_reason(chart: tuple[Open, Starlette]) -> None:
    """An override carries the reason that was picked, and is counted under it."""
    open_chart, service = chart
    page = open_chart("elif")
    page.locator("article.warning select").select_option("patient-refuses", timeout=20_000)
    expect(page.locator(".outcome")).to_have_text("Overridden")
    count = counts(service)["ibero2025:13.1"]
    assert (count.overridden, count.reasons[0][0].rpartition("|")[2]) == (1, "patient-refuses")


def test_text_of_the_record_stays_text(chart: tuple[Open, Starlette]) -> None:
    """Markup planted in the record is shown as it stands, even by a renderer that lets HTML through."""
    page = chart[0](HOSTILE)
    expect(page.locator("#state")).to_have_text("2 cards, 0 services failed", timeout=20_000)
    assert "onerror" in page.locator("#cards").inner_text()
    expect(page.locator("article img")).to_have_count(0)
    expect(page.locator("article a[href^=javascript]")).to_have_count(0)
    assert page.title() == "Chart"


def test_failure_is_shown(chart: tuple[Open, Starlette]) -> None:
    """A service that lacks data says so in the chart, by name; it does not look like no advice."""
    page = chart[0]("elif", "conditions")
    expect(page.locator("#state")).to_contain_text("2 services failed", timeout=20_000)
    expect(page.locator(".error").first).to_contain_text("conditions")


def test_no_patient_no_card(chart: tuple[Open, Starlette]) -> None:
    """A chart to which nothing applies stays empty."""
    page = chart[0](ehr.samples().patients["no-cancer"])
    expect(page.locator("#state")).to_have_text("0 cards, 0 services failed", timeout=20_000)


def test_another_key_gets_nothing(chart: tuple[Open, Starlette]) -> None:
    """A page that signs with another key does not even see the services."""
    page = chart[0]("elif", key=ECKey.generate_key("P-384"))
    expect(page.locator("#state")).to_have_text("decision support is not available (401)", timeout=20_000)
