"""A classifier behind FastAPI, as an article would write it: python plain_fastapi.py MODEL PORT.

The recording is the body of a request, or with /v1/form the file of a form.
"""

import sys

import uvicorn
from fastapi import FastAPI, Request, UploadFile

from earmark import Classifier

session = Classifier.load(sys.argv[1]).session()
app = FastAPI()


def answer(recording):
    prediction = session.predict(recording)
    return {"label": prediction.label, "score": prediction.score, "scores": prediction.scores}


@app.post("/v1/predict")
async def predict(request: Request):
    return answer(await request.body())


@app.post("/v1/form")
async def predict_form(request: UploadFile):
    return answer(await request.read())


uvicorn.run(app, port=int(sys.argv[2]))
