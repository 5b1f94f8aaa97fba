/** Programs of about ten lines that use what was exported. Texts that are shown, never run. */

/** @param {string} file of the classifier */
const python = (file) => `import earmark

classifier = earmark.load("${file}")

with classifier.session() as session:
    for prediction in session.predict(["new.wav", "other.wav"]):
        if prediction.error is not None:
            print(prediction.path, "cannot be read:", prediction.error)
        else:
            print(prediction.path, prediction.answer, prediction.scores)`;

/** @param {string} file of the classifier, which is a detector */
const detector = (file) => `import earmark

detector = earmark.load("${file}")

for event in detector.detect("night.flac"):
    print(event.start, event.end, event.label, event.score)

stream = detector.stream(rate_hz=48_000)
for block in blocks:  # arrays of samples, of any length
    for event in stream.feed(block):
        print(event.start, event.end, event.label, event.score)`;

/** @param {string} file of the graph */
const onnx = (file) => `import json
import onnxruntime, soundfile, soxr

session = onnxruntime.InferenceSession("${file}")
about = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
x, rate_hz = soundfile.read("new.wav", dtype="float32", always_2d=True)
x = soxr.resample(x.mean(1), rate_hz, about["rate_hz"])
scores, known = session.run(["scores", "known_score"], {"waveform": x})
below = about["unknown_threshold"]
print("unknown" if below is not None and known < below else about["labels"][scores.argmax()])`;

const browser = `import { Engine } from "./engine.js";
import { decide } from "./decide.js";
import { readFile } from "./sound.js";

const engine = new Engine();
const description = await engine.ready;
const samples = await readFile(file, description.rate_hz, description.audio);
const { scores, knownScore } = await engine.run(samples);
console.log(decide(description, scores, knownScore).text);`;

/** @param {string} file @param {boolean} isDetector */
const shell = (file, isDetector) => (isDetector ? `earmark detect ${file} night.flac
earmark stream ${file} mic
earmark serve ${file}` : `earmark predict ${file} new.wav
earmark predict ${file} recordings/ --csv > answers.csv
earmark serve ${file}
curl --data-binary @new.wav -H 'Content-Type: audio/wav' http://127.0.0.1:8000/v1/predict`);

/** A name as a shell takes it. @param {string} name */
const quoted = (name) => (/^[\w./@%+=:,-]+$/.test(name) ? name : `'${name.replaceAll("'", String.raw`'\''`)}'`);

/** @param {string} name of the classifier @param {boolean} isDetector @returns {[string, string][]} what it is called in texts, and the program */
export const programs = (name, isDetector) => [
  ['python', isDetector ? detector(`${name}.earmark`) : python(`${name}.earmark`)],
  ['shell', shell(quoted(`${name}.earmark`), isDetector)],
  ...(isDetector ? [] : /** @type {[string, string][]} */ ([['onnx', onnx(`${name}.onnx`)], ['browser', browser]])),
];
