import pytest


@pytest.fixture
def soon_closed(monkeypatch):
    """Let the service not wait long for clients to read a close."""
    from earmark.apps.service import listening, websocket

    monkeypatch.setattr(listening, "CLOSE_S", 0.2)
    monkeypatch.setattr(websocket, "CLOSE_S", 0.2)
