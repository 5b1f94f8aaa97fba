"""A phone in the same network: HTTPS, a narrow screen, fingers, and the microphone."""

import shutil
import subprocess

import pytest

import studios
from studios import SCREENS

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def certificate(tmp_path):
    """A certificate of our own and its key, as the documentation makes them."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so there is no certificate")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=earmark"]
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", *words, *name, "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.mark.slow
def test_a_phone_records_over_https(launch, sounds, certificate):
    words = ("--tls-cert", certificate[0], "--tls-key", certificate[1])
    with studios.command(sounds, *words) as studio:
        context = launch().new_context(**PHONE, ignore_https_errors=True)
        page = context.new_page()
        assert studio.address.startswith("https://")
        page.goto(studio.address)
        record = page.locator(".recorder .record")
        record.wait_for()
        assert all(cookie["secure"] and cookie["httpOnly"] for cookie in context.cookies())
        assert record.bounding_box()["y"] < PHONE["viewport"]["height"] / 2
        page.get_by_label("pieces").select_option("1")
        page.get_by_label("seconds each").select_option("1")
        record.tap()
        page.wait_for_selector("section.class .count:text('3')")
        for name in SCREENS:
            page.goto(f"{page.url.partition('#')[0]}#/{name}")
            page.wait_for_selector("main h1")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    assert len(list((sounds / "recordings").rglob("*.wav"))) == 1
