/* The WebRTC connection to a session: the queue before it, frames, results and messages in it. */

import { farewell, request } from "./api.js";

const ASK_AGAIN = 1000, PING = 1000, GATHER = 1000;
const KEPT = "streamv2v.session";

/* Events: state (idle, connecting, waiting, live, lost), place, result, message; each with `detail`. */
export class Connection extends EventTarget {
  #peer = null; #channel = null; #sender = null; #ticket = null; #visit = null; #ping = 0; #run = 0;

  get live() { return this.#channel?.readyState === "open"; }

  async start(track) {
    this.#drop();
    const run = ++this.#run;
    this.#tell("state", "connecting");
    const peer = this.#peer = new RTCPeerConnection({ iceServers: [] });
    this.#sender = peer.addTransceiver(track, { direction: "sendrecv" }).sender;
    await this.#keepResolution();
    this.#listen(peer, run);
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    try {
      const answer = await this.#ask(run, { sdp: peer.localDescription.sdp, type: "offer" });
      if (answer) await peer.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
    } catch (error) {
      if (run === this.#run) this.#lose(error.message);
    }
  }

  /* Another source: the connection stays. */
  async replace(track) {
    await this.#sender.replaceTrack(track);
  }

  send(message) {
    if (this.live) this.#channel.send(JSON.stringify(message));
  }

  stop() {
    this.#run++;
    this.#drop();
    this.#tell("state", "idle");
  }

  /* Asks to be let in until there is room; null if it was stopped meanwhile. */
  async #ask(run, offer) {
    const session = Number(sessionStorage.getItem(KEPT)) || undefined;
    while (run === this.#run) {
      const { status, body } = await request("POST", "offer", { ...offer, session, ticket: this.#ticket ?? undefined });
      if (run !== this.#run) {
        farewell({ visit: body.visit, ticket: body.ticket });
        return null;
      }
      if (status === 200) {
        this.#visit = body.visit;
        this.#ticket = null;
        sessionStorage.setItem(KEPT, body.session);
        return body;
      }
      this.#ticket = body.ticket;
      this.#tell("state", "waiting");
      this.#tell("place", body.place);
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN));
    }
    return null;
  }

  #listen(peer, run) {
    const channel = this.#channel = peer.createDataChannel("control");
    channel.addEventListener("open", () => {
      this.#tell("state", "live");
      this.#ping = setInterval(() => this.send({ type: "ping" }), PING);
    });
    channel.addEventListener("message", ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "end") this.#lose("The server was stopped.");
      else this.#tell("message", message);
    });
    peer.addEventListener("track", ({ track, receiver }) => {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      this.#tell("result", new MediaStream([track]));
    });
    const lost = () => { if (run === this.#run) this.#lose("The connection was lost."); };
    channel.addEventListener("close", lost);
    peer.addEventListener("connectionstatechange", () => { if (peer.connectionState === "failed") lost(); });
  }

  /* A browser that is short of bits a second sends fewer frames, and not smaller ones. */
  async #keepResolution() {
    const parameters = this.#sender.getParameters();
    parameters.degradationPreference = "maintain-resolution";
    try { await this.#sender.setParameters(parameters); } catch { /* it has no such preference */ }
  }

  #lose(reason) {
    this.#run++;
    this.#drop();
    this.#tell("state", "lost");
    this.#tell("message", { type: "error", message: reason });
  }

  /* Say goodbye and close what there is. */
  #drop() {
    clearInterval(this.#ping);
    if (this.#visit || this.#ticket) farewell({ visit: this.#visit, ticket: this.#ticket });
    this.#visit = this.#ticket = null;
    this.#peer?.close();
    this.#peer = this.#channel = this.#sender = null;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/* All ways to this browser are known, or enough of them. */
function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    setTimeout(resolve, GATHER);
    peer.addEventListener("icegatheringstatechange", () => { if (peer.iceGatheringState === "complete") resolve(); });
  });
}
