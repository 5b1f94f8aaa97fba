/** The microphone: permission, its devices, and its sound as it is. Recording and live sound stand on it. */

/** @typedef {'insecure'|'refused'|'missing'|'busy'|'lost'|'failed'} Failure why there is no sound */

/** There is no sound of the microphone, and why. */
export class MicrophoneError extends Error {
  /** @param {Failure} kind @param {string} [detail] what the browser says */
  constructor(kind, detail = '') {
    super(detail || kind);
    this.kind = kind;
  }
}

/** @type {Object<string, Failure>} */
const FAILURES = { NotAllowedError: 'refused', SecurityError: 'refused', NotFoundError: 'missing', OverconstrainedError: 'missing', NotReadableError: 'busy', AbortError: 'busy' };

/** Whether the microphone may be used without a question. */
export async function isAllowed() {
  try {
    const name = /** @type {PermissionName} */ ('microphone');
    return (await navigator.permissions.query({ name })).state === 'granted';
  } catch {
    return false;
  }
}

/** The microphones; their names are empty until one is allowed. @returns {Promise<MediaDeviceInfo[]>} */
export async function microphones() {
  const all = await navigator.mediaDevices?.enumerateDevices().catch(() => []) ?? [];
  return all.filter(({ kind, deviceId }) => kind === 'audioinput' && deviceId && deviceId !== 'default' && deviceId !== 'communications');
}

/**
 * Open a microphone without what is made for calls, which would change the sound; MicrophoneError if there is none.
 * @param {string} device its id, or an empty text for the usual one
 */
export async function openStream(device) {
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) throw new MicrophoneError('insecure');
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, ...(device ? { deviceId: { exact: device } } : {}) },
    });
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    throw new MicrophoneError(FAILURES[name] ?? 'failed', message);
  }
}

/** A context at the device's own rate, or at the system's where a browser cannot do that. @param {MediaStream} stream */
export function contextOf(stream) {
  const sampleRate = stream.getAudioTracks()[0].getSettings().sampleRate;
  for (const options of sampleRate ? [{ sampleRate }, {}] : [{}]) {
    const context = new AudioContext({ latencyHint: 'interactive', ...options });
    try {
      return { context, source: context.createMediaStreamSource(stream) };
    } catch {
      context.close();
    }
  }
  for (const track of stream.getTracks()) track.stop();
  throw new MicrophoneError('failed', 'This browser gives no sound of the microphone to pages.');
}
