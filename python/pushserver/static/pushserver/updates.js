/**
 * Updates from a push server by long polling, for pages with jQuery.
 *
 *     $.updates.registerProcessor("main", "answer", function (data) { ... });
 *     $.updates.subscribe({main: "http://127.0.0.1:8001/updates/some_channel"});
 *
 * Each update is processed once, in order, whatever happens to the connection: every poll names the
 * last update that arrived, in its query, so that no browser asks the server's leave first (CORS
 * preflight). What the server refuses (401, 403, 404) is not asked for again; the page may subscribe
 * anew. updates.module.js is the same without jQuery, and tells more.
 */
(function ($) {
    "use strict";

    const RETRY_MS = 1000; // pause after a first error; doubles with each further one
    const RETRY_MS_MAX = 30000;
    const INTERVAL_MS = 1000; // least time between two polls that bring nothing
    const LOST_MS = 120000; // the server answers held polls sooner; a sleeping machine's connection dies
    // A number as caches and compressors leave it: bare, quoted, weak, the opening quote lost, the names
    // of codings added. src/relay/request/cursor.rs has the same rule.
    const TAG = /^(?:W\/)?(?!"[^"]*$)"?(\d{1,10})(?:[-;]+[a-z][a-z\d]*)*(?:"(?:[-;]+[a-z][a-z\d]*)*)?$/i;

    const channels = new Map();
    const processors = new Map();

    function warn(message) {
        window.console.warn("pushserver: " + message);
    }

    function processorsOf(name, type) {
        const key = JSON.stringify([name, String(type)]);
        if (!processors.has(key)) {
            processors.set(key, []);
        }
        return processors.get(key);
    }

    function process(name, text) {
        let data;
        try {
            data = JSON.parse(text);
        } catch (error) {
            warn("an update of " + name + " is not JSON: " + error.message);
            return;
        }
        if (!data) {
            warn("an update of " + name + " is empty");
            return;
        }
        processorsOf(name, data.type).slice().forEach(function (processor) {
            try {
                processor(data);
            } catch (error) {
                // One processor's fault is not the others', nor the poll's: only the window's.
                setTimeout(function () { throw error; });
            }
        });
    }

    /** TIME:TAG, the place of a message in its channel; null where the answer does not tell. */
    function cursorOf(jqXHR) {
        const time = Date.parse(jqXHR.getResponseHeader("Last-Modified")) / 1000;
        // Not every server lets scripts of other origins read Etag, and not every cache leaves it as
        // it was; Cache-Control all scripts may read.
        const told = /(?:^|[\s,])etag=([^\s,]+)/i.exec(jqXHR.getResponseHeader("Cache-Control"));
        const tag = TAG.exec(jqXHR.getResponseHeader("Etag")) || (told && TAG.exec(told[1]));
        return isNaN(time) || !tag ? null : time + ":" + tag[1];
    }

    /** Polls a channel, one request after the other; `stop` ends that, `start` resumes it. */
    function follow(name, url) {
        const shown = url.split("?")[0]; // the rest may have a token
        let cursor = null;
        let failures = 0;
        let running = false;
        let request = null;
        let timer = null;

        function poll() {
            const started = Date.now();
            timer = null;
            request = $.ajax({
                url: cursor === null ? url : url + (url.indexOf("?") < 0 ? "?" : "&") + "last_event_id=" + cursor,
                type: "GET",
                dataType: "text",
                // A cache would add validators of its own, which the server would take for a cursor.
                cache: false,
                global: false, // a poll that waits is no loading in progress
                beforeSend: null, // of $.ajaxSetup: a header of the page's would cost a preflight
                timeout: LOST_MS,
                xhrFields: {withCredentials: true}
            });
            // Not then(): it calls back by a timer, which browsers slow down in background tabs.
            request.done(function (text, textStatus, jqXHR) {
                if (running && jqXHR === request) {
                    receive(text, jqXHR, started);
                }
            }).fail(function (jqXHR, textStatus) {
                if (!running || jqXHR !== request) {
                    return; // stopped
                }
                // nginx ends a held poll with 408.
                if (textStatus === "timeout" || jqXHR.status === 408) {
                    receive("", jqXHR, started);
                } else if ([401, 403, 404].indexOf(jqXHR.status) >= 0) {
                    // It would be answered alike.
                    running = false;
                    channels.delete(name);
                    warn(shown + " answered " + jqXHR.status + ": " + jqXHR.responseText.slice(0, 200));
                } else {
                    fail(shown + " answered " + jqXHR.status + " " + textStatus);
                }
            });
        }

        function receive(text, jqXHR, started) {
            if (jqXHR.status !== 200) {
                failures = 0;
                again(INTERVAL_MS - (Date.now() - started));
                return;
            }
            const next = cursorOf(jqXHR);
            if (next === null) {
                fail(shown + " answered without a readable Last-Modified or Etag: is it a push server?");
                return;
            }
            failures = 0;
            cursor = next;
            const gap = jqXHR.getResponseHeader("X-Push-Gap");
            if (gap !== null) {
                warn("updates of " + name + " are lost, since the server no longer had them: " + gap);
            }
            process(name, text);
            again(0);
        }

        function fail(message) {
            warn(message);
            failures += 1;
            // Jitter: pages that lost the server together must not come back together.
            const most = Math.min(RETRY_MS_MAX, RETRY_MS * Math.pow(2, failures - 1));
            again(most * (0.5 + Math.random() / 2));
        }

        function again(delay) {
            if (delay > 0) {
                timer = setTimeout(poll, delay);
            } else {
                poll();
            }
        }

        const channel = {
            start: function () {
                if (!running) {
                    running = true;
                    poll();
                }
            },
            stop: function () {
                running = false;
                clearTimeout(timer);
                request.abort();
            },
            wake: function () {
                if (running && timer !== null) {
                    clearTimeout(timer);
                    poll();
                }
            }
        };
        channel.start();
        return channel;
    }

    $.updates = {
        subscribe: function (urls) {
            $.each(urls, function (name, url) {
                if (url && !channels.has(name)) {
                    channels.set(name, follow(name, url));
                }
            });
        },
        registerProcessor: function (name, type, processor) {
            processorsOf(name, type).push(processor);
        }
    };

    // A poll of a page that is gone would be held for nobody. The page may come back, too.
    $(window).on("pagehide", function () {
        channels.forEach(function (channel) { channel.stop(); });
    }).on("pageshow", function (event) {
        if (event.originalEvent.persisted) {
            channels.forEach(function (channel) { channel.start(); });
        }
    }).on("online", function () {
        channels.forEach(function (channel) { channel.wake(); });
    });
})(jQuery);
