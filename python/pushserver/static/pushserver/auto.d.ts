export * from "./updates.module.js";
export {default} from "./updates.module.js";

/** An update of a channel that `{% pushserver_script %}` has given this name. */
export type PushServerEvent<T = any> = CustomEvent<{name: string; data: T}>;

declare global {
    interface DocumentEventMap {
        pushserver: PushServerEvent;
    }
}
