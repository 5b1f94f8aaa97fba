"""A classifier on KServe: `python kserve_model.py --model_name ears`, with EARMARK_MODEL set."""

import asyncio
import base64
import os

import kserve
from kserve.errors import InvalidInput

import earmark

os.environ.setdefault("EARMARK_MAX_SECONDS", "120")  # of one recording


class Ears(kserve.Model):
    def load(self) -> bool:
        self.session = earmark.load(os.environ["EARMARK_MODEL"]).session()
        self.ready = True
        return self.ready

    async def predict(self, payload, headers=None, response_headers=None):
        try:
            bodies = [base64.b64decode(one["b64"], validate=True) for one in payload["instances"]]
        except (KeyError, TypeError, ValueError):
            raise InvalidInput('Send {"instances": [{"b64": "..."}]}.') from None
        answers = await asyncio.to_thread(self.session.predict, bodies)
        return {"predictions": [
            {"error": one.error} if one.error else {"labels": one.labels, "scores": one.scores}
            for one in answers
        ]}  # fmt: skip


if __name__ == "__main__":
    arguments, _ = kserve.model_server.parser.parse_known_args()
    model = Ears(arguments.model_name)
    model.load()
    kserve.ModelServer().start([model])
