"""A classifier behind LitServe: python with_litserve.py MODEL PORT MAX_BATCH_SIZE."""

import sys

import litserve
from fastapi import UploadFile

from earmark import Classifier

MODEL, PORT, BATCH = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


class Api(litserve.LitAPI):
    def setup(self, device):
        self.session = Classifier.load(MODEL).session()

    def decode_request(self, request: UploadFile):
        return request.file.read()

    def predict(self, recording):  # bytes, or a list of them in a batch
        return self.session.predict(recording)

    def unbatch(self, output):
        return output

    def encode_response(self, prediction):
        return {"label": prediction.label, "score": prediction.score, "scores": prediction.scores}


if __name__ == "__main__":
    api = Api(
        max_batch_size=BATCH, batch_timeout=0.01 if BATCH > 1 else 0.0, api_path="/v1/predict"
    )
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=1, fast_queue=True, timeout=60
    )
    server.run(
        host="127.0.0.1", port=PORT, num_api_servers=1, log_level="warning",
        generate_client_file=False,
    )  # fmt: skip
