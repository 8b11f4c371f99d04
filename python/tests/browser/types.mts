// Type-checked only: what a project in TypeScript writes.
import updates, {Updates, type State, type Transport} from "../../pushserver/static/pushserver/updates.module.js";
import byItsOldName from "../../pushserver/static/pushserver/updates.mjs";
import auto, {type PushServerEvent} from "../../pushserver/static/pushserver/auto.js";

const takeBack: () => void = updates.registerProcessor<{value: number}>("main", "answer", (data) => {
    data.value.toFixed();
});
updates.subscribe({main: "http://127.0.0.1:8001/updates/room"});
updates.addEventListener("gap", (event) => {
    const missed: number | null = event.detail.missed;
    void missed;
});
updates.addEventListener("state", ({detail}) => {
    const state: State = detail.state;
    const transport: Transport | undefined = detail.transport;
    detail.retryMs?.toFixed();
    void [state, transport];
});
updates.subscribe({main: "/updates/room?token=a"}, {
    renew: async (name) => (await fetch(`/renew/${name}`)).text(),
});
updates.subscribe({}, {renew: () => null});
// @ts-expect-error - a URL is a text
updates.subscribe({}, {renew: () => 7});
const other = new Updates({credentials: "omit"});
other.unsubscribe("a", "b");
new Updates({transports: ["poll"], shared: false, query: null});
// @ts-expect-error - there is no such transport
new Updates({transports: ["websocket"]});
takeBack();
// @ts-expect-error - there is no such event
updates.addEventListener("gaps", (event: CustomEvent<{missed: number}>) => event);
const same: typeof updates = byItsOldName;
void same;
document.addEventListener("pushserver", ({detail: {name, data}}) => {
    const channel: string = name;
    data.value.toFixed();
    void channel;
});
document.addEventListener("pushserver", (event: PushServerEvent<{value: number}>) => {
    event.detail.data.value.toFixed();
});
// @ts-expect-error - a name is a text
document.addEventListener("pushserver", (event: CustomEvent<{name: number}>) => event);
const ofTheTag: typeof updates = auto;
void ofTheTag;
