"""The page in headless Chromium: what a reader does, and that it reaches for nothing but itself.

Wants Debian's `chromium` and `pip install playwright` (and `axe-playwright-python`, for what it alone checks); skipped
where they are not.
"""

import shutil
from pathlib import Path

import pytest
from explorer_pages import HOSTILE, drawn, hostile_data, shipped_data, untrained_data

from coded_resnext.explorer.measure import describe, open_subject
from coded_resnext.explorer.page import make_page, union_size

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)

WIDTHS = (360, 768, 1440)


@pytest.fixture(scope="module")
def data():
    return shipped_data()


@pytest.fixture(scope="module")
def classes_43():
    return untrained_data(43, 20, 6, 2)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # root, in a container
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, tmp_path):
    """A function that opens a page of some data; at the end nothing may have gone wrong or out."""
    opened, wrong = [], []

    def open_page(data, fragment="", **options):
        file = make_page(data).save(tmp_path / "page.html")
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: opened.append(request.url))
        page.goto(file.as_uri() + fragment)
        return page

    yield open_page
    assert not wrong
    address = (tmp_path / "page.html").as_uri()
    outside = [url for url in opened if not url.startswith((address, "data:", "blob:"))]
    assert not outside
    assert opened


def state(page) -> dict[str, str]:
    return page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")


def texts(page) -> str:
    return page.inner_text("main")


def test_numbers_are_pythons(visit, data):
    i = 17
    page, image = visit(data, f"#image={i}"), data["images"][i]
    rows = page.locator("#blocks [role=radio]")
    assert rows.count() == len(data["blocks"])
    for b, name in enumerate(data["blocks"]):
        said = rows.nth(b).inner_text()
        for number in (image["margin"][b], image["distance"][b], image["second_distance"][b]):
            assert f"{number / 1000:.3f}" in said, name
        assert f"{data['spent'][b] / 10:.1f}" in said
        assert data["classes"][image["nearest"][b]] in said
        label = rows.nth(b).locator(".bars svg").get_attribute("aria-label")
        assert all(f"{n + 1} {energy / 1000:.3f}" in label for n, energy in enumerate(image["energies"][b]))
    assert f"{image['confidence'] / 10:.1f}" in page.inner_text("#what")


def test_an_image_is_chosen_by_click_and_by_arrows(visit, data):
    page = visit(data)
    page.click("#thumbnails [data-value='5']")
    assert state(page)["image"] == "5"
    page.keyboard.press("ArrowRight")
    assert state(page)["image"] == "6"
    assert page.evaluate("document.activeElement.dataset.value") == "6"
    page.keyboard.press("End")
    assert state(page)["image"] == str(len(data["images"]) - 1)
    assert "foreign (elsewhere)" in page.inner_text("#what")


def test_blocks_are_stepped_through(visit, data):
    page = visit(data)
    for name in data["blocks"][1:]:
        page.click("#next-block")
        assert page.get_attribute("#blocks [aria-checked=true]", "data-value") == name
    assert page.is_disabled("#next-block")
    page.focus("#blocks [aria-checked=true]")
    page.keyboard.press("ArrowUp")
    assert state(page)["block"] == data["blocks"][-2]


def test_a_keyboard_reaches_everything(visit, data):
    """By Tab alone, each group of choices once; Enter chooses."""
    page = visit(data)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.value || "
                                  "document.activeElement.textContent.slice(0, 40)"))  # fmt: skip
    wanted = {"only", "exit", "wrong", "next-block", "class-a", "class-b", "policy", "slider", "confusions-block",
              "layer2.0", "save-removal"}  # fmt: skip
    assert wanted <= reached
    assert sum(place in data["blocks"] for place in reached) == 1
    assert sum(place.partition(":")[0] in data["blocks"] for place in reached) == 2  # and the branch
    page.focus("#first [data-value=foreign]")
    page.keyboard.press("Enter")
    assert state(page)["image"] == str(data["first"]["foreign"])
    assert page.evaluate("document.activeElement.dataset.value") == "foreign"


def test_classes_and_what_they_share(visit, data):
    page = visit(data)
    page.select_option("#class-a", "3")
    page.select_option("#class-b", "8")
    said = page.inner_text("#paths-text")
    for chosen in ([3], [8], [3, 8]):
        assert all(f"{number:,}" in said for number in union_size(data, chosen))
    page.select_option("#class-b", "-1")
    assert f"{union_size(data, [8])[0]:,}" not in page.inner_text("#paths-text").splitlines()[3:]
    assert "both together" not in page.inner_text("#paths-text")


def test_the_threshold_greys_what_is_not_computed(visit, data):
    i = next(i for i, image in enumerate(data["images"]) if image["exits"]["margin"][-1] < len(data["blocks"]) - 1)
    page = visit(data, f"#image={i}")
    assert page.locator(".block.later").count() == 0
    page.focus("#slider")
    page.keyboard.press("End")
    points = data["exits"]["policies"]["margin"]["points"]
    assert state(page)["threshold"] == str(len(points) - 1)
    assert page.inner_text("#tradeoff-text").startswith(
        f"{points[-1]['accuracy'] / 100:.2f}\u00a0% right at {points[-1]['multiply_adds'] / 100:.2f}\u00a0%"
    )
    later = len(data["blocks"]) - 1 - data["images"][i]["exits"]["margin"][-1]
    assert page.locator(".block.later").count() == later
    assert page.locator(".block.later .bar").count() == 0
    shares = page.get_attribute("#leaving svg", "aria-label")
    assert all(f"{share / 10:.1f}" in shares for share in points[-1]["exits"])


def test_a_branch_is_taken_away_by_a_click(visit, data):
    page = visit(data)
    page.click("#branches [data-value='layer3.2:4']")
    without = data["removal"]["without"][data["blocks"].index("layer3.2")][4]
    rows = page.locator("#removal-text tbody tr")
    found = {}
    for k in range(rows.count()):
        cells = rows.nth(k).locator("th, td").all_inner_texts()
        found[cells[0]] = (int(cells[3]), int(cells[4]))
    wanted = {name: (data["removal"]["whole"][k], without[k]) for k, name in enumerate(data["classes"])}
    assert found == wanted


def test_confusions_of_a_block(visit, data):
    page = visit(data)
    page.select_option("#confusions-block", "layer2.2")
    wrong, images = data["confusions"]["blocks"][2], data["confusions"]["images"]
    assert f"layer2.2: {wrong['wrong']} of {images} images wrong" in page.inner_text("#confusions")
    true, answer, count, distance = wrong["pairs"][0]
    cells = page.locator("#confusions-body tbody tr").first.locator("th, td").all_inner_texts()
    assert cells == [data["classes"][true], data["classes"][answer], str(count), str(distance)]


def test_filters(visit, data):
    page = visit(data)
    page.select_option("#only", "3")
    assert page.locator("#thumbnails [role=radio]").count() == 4
    page.check("#wrong")
    wrong = sum(image["label"] == 3 != image["answer"] for image in data["images"])
    assert page.locator("#thumbnails [role=radio]").count() == wrong
    page.uncheck("#wrong")
    page.select_option("#only", "-2")
    assert page.locator("#thumbnails [role=radio]").count() == 2


def test_a_link_keeps_the_state(visit, data):
    page = visit(data, "#image=12&block=layer3.1&a=2&b=7&policy=posterior&threshold=2&remove=layer2.1:3&at=classes")
    before = texts(page)
    page.reload()
    assert texts(page) == before
    assert state(page)["block"] == "layer3.1"
    assert "image 12" in page.inner_text("#what").lower()
    assert page.get_attribute("#blocks [aria-checked=true]", "data-value") == "layer3.1"
    assert page.input_value("#slider") == "2"
    assert page.evaluate("document.activeElement.id") == "classes-title"


BROKEN = ("#image=99999&block=x&a=-5&threshold=1e9", "#image=NaN&remove=layer2.0:77", "#%", "#at=")


@pytest.mark.parametrize("fragment", BROKEN)
def test_a_broken_link_opens_the_page(visit, data, fragment):
    page = visit(data, fragment)
    assert page.inner_text("#what")


def test_the_tour_goes_there_and_back(visit, data):
    page = visit(data)
    links = page.locator(".tour a")
    assert links.count() >= 3
    links.last.click()
    assert state(page)["at"] == "threshold"
    assert state(page)["threshold"] == "1"
    page.go_back()
    assert page.input_value("#slider") == "0"


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(visit, data, width):
    page = visit(data, "#threshold=1", viewport={"width": width, "height": 800})
    for details in page.locator("details > summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_43_classes_stay_legible(visit, classes_43, width):
    page = visit(classes_43, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#class-a option").count() == 43
    assert "There is no slider here." in page.inner_text("#threshold")


def test_1000_classes_are_typed(visit):
    page = visit(untrained_data(1000, 16, 6, 1))
    assert page.locator("select#class-a").count() == 0
    page.fill("#class-a", "class 999")
    page.keyboard.press("Tab")
    assert state(page)["a"] == "999"
    page.fill("#class-a", "no such class")
    page.keyboard.press("Tab")
    assert "No class has this name." in page.inner_text("#choose-classes")
    assert state(page)["a"] == "999"


def test_hostile_names_stay_text(visit, data):
    page = visit(hostile_data(data), "#image=0&b=1")
    assert page.title() == f"Inside {HOSTILE[0]}"
    assert HOSTILE[0] in page.text_content("#what")
    assert page.locator("#what img, #paths-text img, #removal-text img, table img").count() == 0
    assert page.locator("script").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_without_a_script_there_are_tables(visit, data):
    page = visit(data, java_script_enabled=False)
    assert "need a script" in page.inner_text("noscript")
    assert page.locator("#image").is_hidden()
    page.locator("summary", has_text="Blocks as decoders").click()
    assert page.locator("td", has_text=f"{data['right']['blocks'][0] / 10:.1f}").first.is_visible()


def test_a_drawing_is_saved_as_it_looks(visit, data, tmp_path):
    page = visit(data)
    for button in ("#save-energies", "#save-paths", "#threshold button", "#save-confusions", "#save-removal"):
        with page.expect_download() as download:
            page.click(button)
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert download.value.suggested_filename.endswith(".svg")
        assert text.startswith("<svg")
        assert 'fill="rgb(' in text
        assert "class=" not in text


def test_a_plain_network_says_so(visit):
    plain = open_subject("cifar10-small-plain")
    page = visit(describe(plain, drawn(plain, [0, 1, 2])))
    assert "cannot show" in page.inner_text(".lede")
    assert page.locator("section .note").count() >= 5


def test_it_lives_in_a_notebooks_frame(browser, data):
    """Without an address and an origin: state is kept in the page."""
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_content(make_page(data)._repr_html_())
    frame = page.frame_locator("iframe")
    chosen = frame.locator("#blocks [aria-checked=true]")
    frame.locator("#next-block").click()
    assert chosen.get_attribute("data-value") == data["blocks"][1]
    frame.locator(".tour a").last.click()
    assert chosen.get_attribute("data-value") == data["blocks"][1]
    assert frame.locator("#slider").input_value() == "1"
    assert not wrong
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(visit, data, scheme):
    reason = "no axe: pip install axe-playwright-python"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    # past the policy: axe is a script that the page would not run
    page = visit(data, "#threshold=3&image=3", color_scheme=scheme, bypass_csp=True)
    for details in page.locator("details > summary").all():
        details.click()
    found = axe.Axe().run(page).response["violations"]
    assert not [(fault["id"], fault["impact"], fault["nodes"][0]["html"][:200]) for fault in found]
