"""The page ``/docs``: what can be asked, in one file without scripts of others."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>earmark service</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }
pre { background: #8881; padding: .6rem; overflow-x: auto }
</style>
<h1>earmark service</h1>
<p><code>POST /v1/predict</code> classifies a recording. The body is the recording's file, or a form
with one file. Any format that earmark reads is allowed.</p>
<pre>curl -H 'Content-Type: audio/wav' --data-binary @new.wav HOST/v1/predict
curl -F file=@new.wav 'HOST/v1/predict?top=5&amp;coverage=0.9'</pre>
<ul>
<li><code>top</code>: the number of classes in <code>scores</code>; 3 by default.</li>
<li><code>coverage</code>: adds the set of plausible classes, such as 0.9.</li>
<li><code>model</code>: the classifier; the first by default.</li>
</ul>
<p><code>POST /v1/detect</code> finds events in a recording: start, end, label, score. It needs a
detector.</p>
<p><code>/v1/listen?rate=16000</code> is a WebSocket for live sound. Send PCM as binary messages
(16-bit, little-endian, mono; <code>format</code> and <code>channels</code> say otherwise), then the
text <code>{"type": "end"}</code>. Scores of windows and events come back as JSON.</p>
<p>With a token, send <code>Authorization: Bearer TOKEN</code>.</p>
<ul>
<li><code>GET <a href="v1/models">/v1/models</a></code>: the classifiers and their classes.</li>
<li><code>GET <a href="healthz">/healthz</a></code>: the service runs.
<code>GET <a href="readyz">/readyz</a></code>: it can answer.</li>
<li><code>GET <a href="metrics">/metrics</a></code>: figures for Prometheus.</li>
<li><code>GET <a href="openapi.json">/openapi.json</a></code>: all this for programs.</li>
</ul>
<p>An error has the type <code>application/problem+json</code>; its <code>detail</code> says what is
wrong and what to do.</p>
"""
