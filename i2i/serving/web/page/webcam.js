// The webcam, frame by frame: each is translated when the one before has come back.
const SIDE = 512;  // pixels of the longer side of a frame

/** Start or stop; `send` translates a picture, `show` gets the addresses of a frame and its translation, and the rate. */
export async function live(button, send, say, show) {
  if (button.getAttribute("aria-pressed") === "true") {
    button.setAttribute("aria-pressed", "false");
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: SIDE } } });
  } catch (error) {
    say(`The webcam cannot be used: ${error.message}`, true);
    return;
  }
  button.setAttribute("aria-pressed", "true");
  say("The webcam is translated.");
  const video = document.createElement("video"), canvas = document.createElement("canvas");
  Object.assign(video, { srcObject: stream, muted: true, playsInline: true });
  await video.play();
  let addresses = [], rate = 0;
  try {
    while (button.getAttribute("aria-pressed") === "true" && stream.active) {
      const start = performance.now(), scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight));
      canvas.width = Math.round(video.videoWidth * scale);
      canvas.height = Math.round(video.videoHeight * scale);
      canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
      const frame = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
      let result;
      try {
        result = (await send(frame)).data;
      } catch (error) {
        if (error.status !== 429) throw error;
        await new Promise((wait) => setTimeout(wait, 500));
        continue;
      }
      const before = addresses;
      addresses = [frame, result].map((data) => URL.createObjectURL(data));
      rate += (rate ? 0.2 : 1) * (1000 / (performance.now() - start) - rate);
      show(...addresses, rate);
      before.forEach((address) => URL.revokeObjectURL(address));
    }
    say("The webcam is off.");
  } catch (error) {
    say(error.message, true);
  } finally {
    button.setAttribute("aria-pressed", "false");
    stream.getTracks().forEach((track) => track.stop());
  }
}
