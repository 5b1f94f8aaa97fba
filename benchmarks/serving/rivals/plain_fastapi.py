"""A classifier behind FastAPI, as an article would write it: python plain_fastapi.py MODEL PORT."""

import sys

import uvicorn
from fastapi import FastAPI, Request

from earmark import Classifier

session = Classifier.load(sys.argv[1]).session()
app = FastAPI()


@app.post("/v1/predict")
async def predict(request: Request):
    prediction = session.predict(await request.body())
    return {"label": prediction.label, "score": prediction.score, "scores": prediction.scores}


uvicorn.run(app, port=int(sys.argv[2]))
