//! Reading: from the bytes of a client to questions for the hub. A step reads one head, or a piece
//! of one body.

use super::access::shown_peer;
use super::answering::store_timed_out;
use super::following::Kind;
use super::frames::read_frame;
use super::next::Next;
use super::outgoing;
use super::phase::too_many_uploads;
use super::responding::{arm_body, fail, refuse_and_linger, refuse_whole};
use super::serving::{reply, serve};
use super::{Client, ConnTimer, Phase, Upload, recording};
use crate::http::{
    BodyDecoder, Framing, HeaderSlots, HttpError, RequestHead, Scan, parse_request, scan,
};
use crate::relay::location::{Found, SERVER};
use crate::relay::options::Limits;
use crate::relay::output::Output;
use crate::relay::render::{Persistence, Reply};
use crate::relay::request::admission::{Asked, admit};
use crate::relay::request::publish;
use crate::relay::request::refusal::Refusal;
use crate::relay::request::revoke::form_bytes_max;
use crate::relay::step::Step;
use crate::relay::uploads::Share;

/// A body up to this size is taken in though its request will be refused.
const SHORT_BODY_BYTES: u64 = 16 << 10;

/// Takes a step with `input`, the bytes that wait.
pub(in crate::relay) fn read<'b>(
    client: &mut Client,
    input: &'b [u8],
    slots: &'b mut HeaderSlots<'b>,
    step: &mut Step<'_>,
) -> Next<'b> {
    match client.phase {
        Phase::Head { .. } | Phase::Body(_) if input.is_empty() => Next::Wait,
        Phase::Head { .. } => read_head(client, input, slots, step),
        Phase::Body(_) => Next::Used(read_body(client, input, step)),
        Phase::Proxied(key) => Next::PassUp(key),
        Phase::Following(ref following) => match following.kind() {
            Kind::Poll => Next::Wait,
            Kind::EventStream => Next::Gone,
            Kind::WebSocket => read_frame(client, input, step),
        },
        Phase::AwaitingHub { .. } | Phase::AwaitingStore(_) => Next::Wait,
        Phase::AwaitingSubscriber(_) => Next::Wait,
        Phase::Waiting { .. } | Phase::Listening(_) => Next::Wait,
        Phase::Lingering { .. } | Phase::Closing => Next::Gone,
    }
}

fn read_head<'b>(
    client: &mut Client,
    input: &'b [u8],
    slots: &'b mut HeaderSlots<'b>,
    step: &mut Step<'_>,
) -> Next<'b> {
    let Phase::Head { scanned } = &mut client.phase else { return Next::Wait };
    let len = match scan(input, std::mem::take(scanned), &step.site.limits.head) {
        Ok(Scan::Complete { len }) => len,
        Ok(Scan::Partial { scanned: so_far }) => {
            *scanned = so_far;
            if !matches!(client.timer, Some((_, ConnTimer::Head | ConnTimer::Stop))) {
                client.arm(ConnTimer::Head, step);
            }
            return Next::Wait;
        }
        Err(error) => return refuse_head(client, input, &error, step),
    };
    let head = match parse_request(&input[..len], slots, &step.site.limits.head) {
        Ok(head) => head,
        Err(error) => return refuse_head(client, input, &error, step),
    };
    if client.arrival.only_secure && !client.arrival.secure {
        refuse_plain(client, &head, step);
        return Next::Used(input.len());
    }
    let found = step.site.routes.find(head.path);
    if found.is_none() && head.path != SERVER && step.site.forwards {
        return Next::Forward(head, len);
    }
    if head.framing == Framing::None {
        serve(client, &head, (&[]).into(), found.as_ref(), false, step);
        return Next::Used(len);
    }
    let (head_bytes, rest) = input.split_at(len);
    Next::Used(len + begin_body(client, &head, found.as_ref(), head_bytes, rest, step))
}

/// Refuses bytes that cannot be read as a head, or are more than the limits allow. A limit is also
/// named in the log, since it may be too low.
fn refuse_head<'b>(
    client: &mut Client,
    input: &[u8],
    error: &HttpError,
    step: &mut Step<'_>,
) -> Next<'b> {
    client.access.note_unread(input, step.site);
    if matches!(error.status, 414 | 431)
        && let Some(times) = step.effects.oversized_heads.note(step.now.mono_ms)
    {
        let peer = shown_peer(client.arrival.peer);
        let HttpError { status, message } = error;
        log::warn!(
            "event=head_refused peer={peer} status={status} times={times} cause={message:?}"
        );
    }
    fail(client, error, false, step);
    Next::Used(input.len())
}

/// Refuses a request that came without TLS, before it is looked at what it asks.
fn refuse_plain(client: &mut Client, head: &RequestHead<'_>, step: &mut Step<'_>) {
    // A name, an address, a port; anything else that was sent is not repeated.
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    let host = Some(head.host).filter(|host| host.iter().all(is_plain));
    let host = host.and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default();
    let text = format!("this port speaks HTTPS only: https://{host}/");
    fail_request(client, head, &HttpError::new(400, text), step);
}

/// Serves a request with a body, or waits for the rest of it; gives how many bytes of `input`,
/// which came behind its head, are dealt with.
fn begin_body(
    client: &mut Client,
    head: &RequestHead<'_>,
    found: Option<&Found<'_>>,
    head_bytes: &[u8],
    input: &[u8],
    step: &mut Step<'_>,
) -> usize {
    let bytes_max = body_bytes_max(found, &step.site.limits) as u64;
    let decoded = BodyDecoder::new(head.framing, bytes_max)
        .and_then(|mut decoder| decoder.decode(input).map(|decoded| (decoder, decoded)));
    let (decoder, decoded) = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            fail_request(client, head, &error, step);
            return input.len();
        }
    };
    if decoded.done {
        // The common case: nothing is copied but into the message itself.
        serve(client, head, decoded.data.into(), found, false, step);
        return decoded.consumed;
    }
    // What will be refused anyway is refused before its body is taken in, unless that is so
    // short that it is on its way already: then the connection is kept.
    let short = matches!(head.framing, Framing::Length(length) if length <= SHORT_BODY_BYTES);
    let asked = Asked { head, arrival: client.arrival, is_vouched: false };
    let admitted = admit(step.site, asked, found, step.names, step.now);
    let refused = admitted.err().map(|refusal| (reply(head, found, step), refusal));
    if (!short || head.expect_continue)
        && let Some((reply, refusal)) = refused
    {
        client.access.note(head, step.site);
        recording::refuses(client, &reply, &refusal, head, step);
        refuse_early(client, reply, &refusal, step);
        return input.len();
    }
    if head.expect_continue {
        step.effects.send_continue(step.conn);
    }
    // Other bodies are read and dropped, so that refused clients use no upload budget.
    let keeps_body = head.method == "POST" && refused.is_none();
    let body = if keeps_body { decoded.data.to_vec() } else { Vec::new() };
    let mut share = Share::default();
    if step.effects.uploads.set(&mut share, body.len()) > step.site.uploads_max() {
        step.effects.uploads.set(&mut share, 0);
        fail_request(client, head, &too_many_uploads(), step);
        return input.len();
    }
    let head = head_bytes.into();
    let upload = Upload { head, decoder, refused, keeps_body, body, share };
    client.enter(Phase::Body(Box::new(upload)), step);
    arm_body(client, step);
    decoded.consumed
}

/// How long the body of a request may be.
fn body_bytes_max(found: Option<&Found<'_>>, limits: &Limits) -> usize {
    let is_inspector = found.is_some_and(|(location, _)| location.role.inspects());
    match found {
        Some((_, b"/publish")) if is_inspector => publish::form_bytes_max(limits),
        Some((location, _)) if location.role.is_status() => form_bytes_max(limits),
        _ => limits.body_bytes,
    }
}

/// Reads more of a body from `input`; gives how many of its bytes are dealt with.
fn read_body(client: &mut Client, input: &[u8], step: &mut Step<'_>) -> usize {
    let Phase::Body(upload) = &mut client.phase else { return 0 };
    let (used, outcome) = upload.take_in(input, &mut step.effects.uploads, step.site.uploads_max());
    if matches!(outcome, Ok(false)) {
        // What will be refused has as long in all, or a byte now and then would keep it here.
        if upload.refused.is_none() {
            arm_body(client, step);
        }
        return used;
    }
    let Phase::Body(upload) = client.enter(Phase::IDLE, step) else { return used };
    let mut slots = HeaderSlots::new();
    match (parse_request(&upload.head, &mut slots, &step.site.limits.head), outcome) {
        (Ok(head), Ok(_)) => match upload.refused {
            Some((mut reply, refusal)) => {
                client.access.note(&head, step.site);
                reply.persistence = Persistence::of(&head, step.effects.stopping);
                refuse_whole(client, &reply, &refusal, &head, step);
            }
            None => {
                let found = step.site.routes.find(head.path);
                serve(client, &head, upload.body.into(), found.as_ref(), false, step);
            }
        },
        (Ok(head), Err(error)) => fail_request(client, &head, &error, step),
        // Limits were lowered by a reload meanwhile.
        (Err(error), _) => fail(client, &error, false, step),
    }
    // Nobody knows where a faulty body ends.
    if matches!(client.phase, Phase::Lingering { .. }) { input.len() } else { used }
}

/// Answers a fault of a body; nobody knows where it ends.
fn fail_request(
    client: &mut Client,
    head: &RequestHead<'_>,
    error: &HttpError,
    step: &mut Step<'_>,
) {
    client.access.note(head, step.site);
    let found = step.site.routes.find(head.path);
    let mut reply = reply(head, found.as_ref(), step);
    reply.persistence = Persistence::Close;
    recording::fails(client, head, (error.status, &error.message), &reply, step);
    let payload = step.renderer.text(&reply, error.status, b"", &error.message);
    refuse_and_linger(client, error.status, payload, step);
}

/// Answers a request that is not whole and will not be. `is_head`: it is known to be a HEAD
/// request.
fn fail_begun(client: &mut Client, error: &HttpError, is_head: bool, step: &mut Step<'_>) {
    if let Phase::Body(upload) = &mut client.phase {
        let bytes = std::mem::take(&mut upload.head);
        let refused = upload.refused.take();
        let mut slots = HeaderSlots::new();
        if let Ok(head) = parse_request(&bytes, &mut slots, &step.site.limits.head) {
            let Some((reply, refusal)) = refused else {
                return fail_request(client, &head, error, step);
            };
            client.access.note(&head, step.site);
            recording::refuses(client, &reply, &refusal, &head, step);
            return refuse_early(client, reply, &refusal, step);
        }
    } else if let Some(buffer) = client.buffer.take() {
        client.access.note_unread(&buffer.bytes, step.site);
    }
    fail(client, error, is_head, step);
}

fn refuse_early(client: &mut Client, mut reply: Reply, refusal: &Refusal, step: &mut Step<'_>) {
    reply.persistence = Persistence::Close;
    let Refusal { status, lines, text, .. } = refusal;
    let payload = step.renderer.text(&reply, *status, lines, text);
    refuse_and_linger(client, *status, payload, step);
}

/// Does what is to be done at the end of a timer. Those of an exchange with the upstream are not
/// here.
pub(in crate::relay) fn timed_out(
    client: &mut Client,
    timer: ConnTimer,
    is_head: bool,
    step: &mut Step<'_>,
) {
    let text = match timer {
        ConnTimer::Store | ConnTimer::Ping if client.phase.is_stream() => {
            return outgoing::timed_out(client, timer, step);
        }
        ConnTimer::Store => return store_timed_out(client, step),
        ConnTimer::Sent => return super::acknowledging::answer(client, step),
        ConnTimer::Events => return super::events::woken(client, step),
        ConnTimer::Begin => return super::streaming::begin_early(client, step),
        // It is our turn to speak; the answer sets the next timer.
        _ if client.phase.is_unanswered() && timer != ConnTimer::Write => return,
        ConnTimer::Linger | ConnTimer::Write => {
            step.effects.figures.slow_readers += u64::from(timer == ConnTimer::Write);
            log::debug!("event=abort conn={} timer={timer:?}", step.conn.index());
            return step.effects.outputs.push_back(Output::Abort { conn: step.conn });
        }
        ConnTimer::Head if client.buffer.is_none() => return client.close(step),
        ConnTimer::Idle => return client.close(step),
        ConnTimer::Connect | ConnTimer::Upstream | ConnTimer::Ping => return,
        ConnTimer::Head => "the request head took too long; send it at once",
        ConnTimer::Body => "the request body stopped coming; send it without pauses",
        ConnTimer::Stop => "the server stops; send it again later",
    };
    fail_begun(client, &HttpError::new(408, text), is_head, step);
}

#[cfg(test)]
mod tests {
    use crate::relay::timers::tests::{at, relay};
    use crate::relay::{Arrival, Input, Output, Wanted};

    #[test]
    fn pipeline_depth_requests_are_served_before_others_have_their_turn() {
        let mut relay = relay();
        relay.site.limits.pipeline_depth = 2;
        let conns =
            [relay.accept(Arrival::default(), at(0)), relay.accept(Arrival::default(), at(0))];
        for conn in conns {
            let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5);
            relay.handle_input(conn, Input::Received(&requests), at(0));
        }
        let mut served = Vec::new();
        while relay.state().due_ms() == Some(0) {
            relay.handle_timeout(at(0));
            while let Some(output) = relay.poll_output(Wanted::Answers, at(0)) {
                let Output::Send { conn, .. } = output else { panic!("{output:?}") };
                served.push(conn);
            }
        }
        let [a, b] = conns;
        assert_eq!(served, [a, a, b, b, a, a, b, b, a, b]);
    }
}
