/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/controller_client.h"

#include <string.h>

#include "agent/redact.h"
#include "agent/report_service.h"
#include "agent/reports.h"
#include "agent/token.h"
#include "base/backoff.h"
#include "base/log.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "rpc/methods.h"

#define UNARY_TIMEOUT (30 * JMP_USEC_PER_SEC)
#define GOODBYE_TIMEOUT (1 * JMP_USEC_PER_SEC)
/* When is Listen up? A Go controller sends the headers of a stream with its first message, so there is nothing to wait
 * for. But our request is on its way once flow control has taken it, on the same connection as the report that follows;
 * what is left is that the controller's handler has its turn. Our own service sends headers at once. */
#define LISTEN_SETTLES (10 * JMP_USEC_PER_MSEC)
#define LISTEN_ANSWERED 10   /* the part of it that is left when headers have come */
#define REMIND_EACH (600 * JMP_USEC_PER_SEC)
/* A fresh Status stream says something at once: one that does not is as good as broken. */
#define STATUS_SPEAKS (30 * JMP_USEC_PER_SEC)
/* A controller that has agreed to a release, and still says that the lease is ours, is asked again. */
#define RELEASE_SHOWS (30 * JMP_USEC_PER_SEC)

/* Unary calls, at most one of each at a time. */
enum { CALL_REGISTER, CALL_ENDPOINTS, CALL_REPORT, CALL_RELEASE, CALL_UNREGISTER, CALLS };

struct jmp_controller {
    struct jmp_queue *queue;
    struct jmp_loop *loop;
    struct jmp_channel *channel;
    struct jmp_controller_options options;
    const struct jmp_controller_events *events;
    void *user;
    struct jmp_token *token;
    struct jmp_metadata metadata[5];
    struct jmp_rpc *calls[CALLS];    /* unary calls whose answers will come back to this object */
    bool freed;

    /* Register, then Status, for ever. */
    bool registered, started;
    bool told_of_failure;            /* and when, and of which code */
    uint64_t told_at;
    enum jmp_code told_code;
    struct jmp_rpc *status_rpc;
    uint64_t status_opened;
    bool heard;                      /* this Status stream has said something */
    bool rebuilt;                    /* registered anew since the last message */
    struct jmp_backoff backoff;
    struct jmp_timer retry, silence;
    bool connected;                  /* for people: not lost since it was there */
    uint64_t since;
    unsigned reconnects;
    char error[256];

    struct jmp_reports reports;
    bool no_reports;
    struct jmp_backoff report_backoff;
    struct jmp_timer report_retry;

    char *lease;                     /* being listened to, or NULL */
    struct jmp_rpc *listen_rpc;
    bool listening;                  /* the event was given */
    uint64_t listen_opened;
    struct jmp_backoff listen_backoff;
    struct jmp_timer listen_retry, listen_up;

    char *release;                   /* a lease to be released, or NULL */
    bool release_old_news;           /* the call under way is for another one */
    bool old_release;
    struct jmp_backoff release_backoff;
    struct jmp_timer release_retry;

    bool leaving, said_offline;
    void (*left)(void *user);
    void *left_user;
};

static void open_status(struct jmp_controller *c);
static void open_listen(struct jmp_controller *c);
static void send_reports(struct jmp_controller *c);
static void send_release(struct jmp_controller *c);
static void leave(struct jmp_controller *c);

static const struct jmp_log_fields *fields(struct jmp_controller *c)
{
    static struct jmp_log_fields answer;   /* one loop */

    answer = (struct jmp_log_fields){ .endpoint = c->options.channel.endpoint, .lease = c->lease };
    return &answer;
}

/* How long @usec are to somebody of this patience. */
static uint64_t scaled(const struct jmp_controller *c, uint64_t usec)
{
    return usec * (c->options.patience ?: 100) / 100;
}

/* Who we are, with the token of this moment. */
static const struct jmp_metadata *identity(struct jmp_controller *c)
{
    c->metadata[0].value = jmp_token_bearer(c->token);
    return c->metadata;
}

static void maybe_destroy(struct jmp_controller *c)
{
    if (!c->freed)
        return;
    for (unsigned i = 0; i < CALLS; i++)
        if (c->calls[i])
            return;
    jmp_token_free(c->token);
    free(c->lease);
    free(c->release);
    free(c);
}

/* Every answer passes here first: false when nobody wants it any more, and the object may be gone. */
static bool landed(struct jmp_controller *c, unsigned call)
{
    c->calls[call] = NULL;
    if (!c->freed)
        return true;
    maybe_destroy(c);
    return false;
}

static int unary(struct jmp_controller *c, unsigned call, const struct jmp_method_info *method, uint64_t timeout,
                 const ProtobufCMessage *request,
                 void (*done)(const struct jmp_status *status, const ProtobufCMessage *response, void *user))
{
    if (c->calls[call])
        return -EBUSY;
    return jmp_channel_unary(c->channel, method, identity(c), timeout, request, done, c, &c->calls[call]);
}

/* Register and Status. */

static void on_retry(struct jmp_timer *timer);

static void retry_later(struct jmp_controller *c)
{
    uint64_t wait = jmp_backoff_next(&c->backoff);

    if (c->leaving)
        return;
    if (jmp_timer_start(c->loop, &c->retry, wait, on_retry) < 0)
        jmp_log(JMP_LOG_CRITICAL, fields(c), "no timer: the controller is not tried again");
}

static void note_connected(struct jmp_controller *c, bool connected)
{
    if (c->connected != connected)
        c->since = jmp_now();
    c->reconnects += c->connected && !connected;
    c->connected = connected;
}

static void lost(struct jmp_controller *c, const char *what, const struct jmp_status *status)
{
    bool news = !c->told_of_failure || c->told_code != status->code || jmp_now() - c->told_at >= REMIND_EACH;

    note_connected(c, false);
    snprintf(c->error, sizeof(c->error), "%s: %s: %s", what, jmp_code_name(status->code), JMP_REDACT(status->text));
    /* A controller that is away for an hour is a few lines, not a thousand. */
    jmp_log(news ? JMP_LOG_WARNING : JMP_LOG_DEBUG, fields(c), "%s with %s: %s: %s; trying again", what,
            c->options.channel.endpoint, jmp_code_name(status->code), JMP_REDACT(status->text));
    if (!c->told_of_failure)
        c->events->changed("trying to reach the controller", c->user);
    if (news) {
        c->told_of_failure = true;
        c->told_at = jmp_now();
        c->told_code = status->code;
    }
    /* It says nothing at all: perhaps it is the connection. */
    if (status->code == JMP_DEADLINE_EXCEEDED)
        jmp_channel_renew(c->channel);
    retry_later(c);
}

static void on_endpoints(const struct jmp_status *status, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__GetServiceEndpointsResponse *response = (const void *)message;
    struct jmp_controller *c = user;

    /* Best effort: old controllers know nothing of it. */
    if (landed(c, CALL_ENDPOINTS) && response && response->n_telemetry_endpoints > 0)
        c->events->telemetry(response->telemetry_endpoints[0]->endpoint, response->telemetry_endpoints[0]->certificate,
                             response->telemetry_endpoints[0]->min_severity, c->user);
}

static void on_registered(const struct jmp_status *status, const ProtobufCMessage *message, void *user)
{
    Jumpstarter__V1__GetServiceEndpointsRequest request = JUMPSTARTER__V1__GET_SERVICE_ENDPOINTS_REQUEST__INIT;
    struct jmp_controller *c = user;
    int r;

    if (!landed(c, CALL_REGISTER) || c->leaving)
        return;
    if (status->code != JMP_OK) {
        lost(c, "cannot register", status);
        return;
    }
    c->registered = true;
    c->rebuilt = true;
    c->old_release = false;   /* this may be another controller */
    open_status(c);
    r = unary(c, CALL_ENDPOINTS, &jmp_controller_get_service_endpoints, scaled(c, UNARY_TIMEOUT), &request.base,
              on_endpoints);
    if (r < 0 && r != -EBUSY)
        jmp_log(JMP_LOG_WARNING, FIELDS(.error = r), "the controller is not asked for telemetry: %m");
}

static void open_register(struct jmp_controller *c)
{
    Jumpstarter__V1__RegisterRequest request = JUMPSTARTER__V1__REGISTER_REQUEST__INIT;
    Jumpstarter__V1__RegisterRequest__LabelsEntry label = JUMPSTARTER__V1__REGISTER_REQUEST__LABELS_ENTRY__INIT;
    Jumpstarter__V1__RegisterRequest__LabelsEntry *labels[] = { &label };
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    int r;

    label.key = (char *)JMP_LABEL_NAME;
    label.value = (char *)c->options.name;
    request.labels = labels;
    request.n_labels = ELEMENTSOF(labels);
    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = jmp_report_build(c->options.devices, tree, &request.reports, &request.n_reports);
    if (r == 0)
        r = unary(c, CALL_REGISTER, &jmp_controller_register, scaled(c, UNARY_TIMEOUT), &request.base, on_registered);
    if (r < 0) {
        jmp_log(JMP_LOG_ERROR, FIELDS(.error = r), "cannot register: %m");
        retry_later(c);
    }
}

static void on_retry(struct jmp_timer *timer)
{
    struct jmp_controller *c = CONTAINER_OF(timer, struct jmp_controller, retry);

    jmp_channel_wake(c->channel);
    if (c->registered)
        open_status(c);
    else
        open_register(c);
}

static void on_status_message(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__StatusResponse *response = (const void *)message;
    struct jmp_controller *c = user;
    const char *lease = NULL, *client = NULL;
    _cleanup_free_ char *context = NULL;
    bool first = !c->heard, leased;

    if (!response)
        return;   /* closed() tells why */
    if (response->_lease_name_case == JUMPSTARTER__V1__STATUS_RESPONSE___LEASE_NAME_LEASE_NAME)
        lease = response->lease_name;
    if (response->_client_name_case == JUMPSTARTER__V1__STATUS_RESPONSE___CLIENT_NAME_CLIENT_NAME)
        client = response->client_name;
    leased = response->leased && lease && *lease;

    c->heard = true;
    if (first) {
        jmp_timer_stop(&c->silence);
        note_connected(c, true);
        if (c->told_of_failure || c->rebuilt)
            jmp_log(JMP_LOG_INFO, fields(c), "registered with %s", c->options.channel.endpoint);
        c->told_of_failure = false;
        c->events->changed("registered", c->user);
        /* What waited for the connection waits no longer. */
        if (c->lease && !c->listen_rpc)
            open_listen(c);
    }
    if (c->release && !(leased && strcmp(c->release, lease) == 0)) {
        jmp_timer_stop(&c->release_retry);
        free(TAKE_PTR(c->release));
    }

    if (leased && response->n_context > 0 && jmp_context_print(response, &context) < 0)
        jmp_log(JMP_LOG_WARNING, fields(c), "the context of lease %s is too large", lease);
    c->events->status(leased, leased ? lease : NULL, leased ? client : NULL, context, c->user);
    /* One that knows us anew may have forgotten; but it has just handed us out, and would not like to hear that we are
     * free. */
    if (c->rebuilt && !(leased && c->reports.last.status == JMP_EXPORTER_AVAILABLE))
        jmp_reports_repeat(&c->reports);
    c->rebuilt = false;
    if (first) {
        send_reports(c);
        send_release(c);
    }
    jmp_rpc_receive(rpc);
}

static void on_status_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct jmp_controller *c = user;

    c->status_rpc = NULL;
    jmp_timer_stop(&c->silence);
    /* A watch that broke in the controller is routine, and so is an orderly end. A connection that broke may have been
     * to one that now has forgotten us, and a stream that said nothing is no better. */
    if ((status->code != JMP_OK && status->code != JMP_UNKNOWN) || !c->heard)
        c->registered = false;
    if (c->heard)
        jmp_backoff_lasted(&c->backoff, jmp_now() - c->status_opened);
    c->heard = false;
    if (c->registered) {
        jmp_log(JMP_LOG_DEBUG, fields(c), "the status stream ended: %s: %s", jmp_code_name(status->code),
                JMP_REDACT(status->text));
        retry_later(c);
    } else {
        lost(c, "the connection broke", status);
    }
}

static void on_silence(struct jmp_timer *timer)
{
    struct jmp_controller *c = CONTAINER_OF(timer, struct jmp_controller, silence);

    jmp_rpc_cancel(c->status_rpc);   /* its end is dealt with as any other */
}

static void open_status(struct jmp_controller *c)
{
    static const struct jmp_rpc_events events = { .message = on_status_message, .closed = on_status_closed };
    Jumpstarter__V1__StatusRequest request = JUMPSTARTER__V1__STATUS_REQUEST__INIT;
    int r;

    c->heard = false;
    c->status_opened = jmp_now();
    r = jmp_channel_call(c->channel, &jmp_controller_status, identity(c), JMP_USEC_INFINITY, &request.base, &events, c,
                         &c->status_rpc);
    if (r < 0) {
        jmp_log(JMP_LOG_ERROR, FIELDS(.error = r), "no status stream: %m");
        retry_later(c);
        return;
    }
    jmp_rpc_receive(c->status_rpc);
    if (jmp_timer_start(c->loop, &c->silence, scaled(c, STATUS_SPEAKS), on_silence) < 0)
        jmp_log(JMP_LOG_CRITICAL, fields(c), "no timer: should the controller say nothing, it is waited for for ever");
}

/* Reports. */

static void on_report_retry(struct jmp_timer *timer)
{
    send_reports(CONTAINER_OF(timer, struct jmp_controller, report_retry));
}

static void reports_later(struct jmp_controller *c)
{
    if (jmp_timer_start(c->loop, &c->report_retry, jmp_backoff_next(&c->report_backoff), on_report_retry) < 0)
        jmp_log(JMP_LOG_CRITICAL, fields(c), "no timer: the status is not reported again");
}

static void on_reported(const struct jmp_status *status, const ProtobufCMessage *message, void *user)
{
    struct jmp_controller *c = user;

    if (!landed(c, CALL_REPORT))
        return;
    if (c->leaving) {
        leave(c);
        return;
    }

    if (status->code == JMP_OK) {
        jmp_log(JMP_LOG_INFO, fields(c), "status %s reported", jmp_exporter_status_name(c->reports.list[0].status));
        c->no_reports = false;
        c->report_backoff.failures = 0;
        jmp_reports_taken(&c->reports);
        send_reports(c);
        return;
    }

    /* Whatever the code: a lost AVAILABLE would leave this exporter without leases for ever. Old controllers, which
     * know no reports, are asked every now and then whether they have become newer. */
    if (status->code == JMP_UNIMPLEMENTED)
        jmp_log(c->no_reports ? JMP_LOG_DEBUG : JMP_LOG_WARNING, fields(c),
                "the controller is too old to be told our status");
    else
        jmp_log(JMP_LOG_WARNING, fields(c), "status %s was not taken: %s: %s",
                jmp_exporter_status_name(c->reports.list[0].status), jmp_code_name(status->code),
                JMP_REDACT(status->text));
    c->no_reports = status->code == JMP_UNIMPLEMENTED;
    jmp_reports_failed(&c->reports);
    reports_later(c);
}

static int send_report(struct jmp_controller *c, unsigned call, const struct jmp_report *report, bool release,
                       uint64_t timeout, void (*done)(const struct jmp_status *, const ProtobufCMessage *, void *))
{
    Jumpstarter__V1__ReportStatusRequest request = JUMPSTARTER__V1__REPORT_STATUS_REQUEST__INIT;

    request.status = (Jumpstarter__V1__ExporterStatus)report->status;
    request._message_case = JUMPSTARTER__V1__REPORT_STATUS_REQUEST___MESSAGE_MESSAGE;
    request.message = (char *)report->message;
    if (release) {
        request._release_lease_case = JUMPSTARTER__V1__REPORT_STATUS_REQUEST___RELEASE_LEASE_RELEASE_LEASE;
        request.release_lease = true;
    }
    return unary(c, call, &jmp_controller_report_status, timeout, &request.base, done);
}

static void send_reports(struct jmp_controller *c)
{
    const struct jmp_report *report;

    if (!c->heard || c->leaving)
        return;
    report = jmp_reports_send(&c->reports);
    if (!report)
        return;
    jmp_timer_stop(&c->report_retry);
    if (send_report(c, CALL_REPORT, report, false, scaled(c, UNARY_TIMEOUT), on_reported) < 0) {
        jmp_reports_failed(&c->reports);
        reports_later(c);
    }
}

void jmp_controller_report(struct jmp_controller *c, enum jmp_exporter_status status, const char *message)
{
    if (c->leaving)
        return;
    jmp_reports_add(&c->reports, status, message);
    /* News does not wait for the back-off of what it replaces. */
    c->report_backoff.failures = 0;
    send_reports(c);
}

/* Listen. */

static void is_up(struct jmp_controller *c)
{
    jmp_timer_stop(&c->listen_up);
    if (c->listening)
        return;
    c->listening = true;
    c->events->listening(c->user);
}

static void on_listen_up(struct jmp_timer *timer) { is_up(CONTAINER_OF(timer, struct jmp_controller, listen_up)); }

static void up_in(struct jmp_controller *c, unsigned part)
{
    uint64_t settles = c->options.settles ?: LISTEN_SETTLES;

    if (!c->listening && jmp_timer_start(c->loop, &c->listen_up, settles / part, on_listen_up) < 0)
        is_up(c);
}

static void on_listen_sent(struct jmp_rpc *rpc, bool ok, void *user)
{
    struct jmp_controller *c = user;

    /* The controller is there again: whatever else waits for it need not. */
    if (ok && c->retry.running)
        jmp_timer_start(c->loop, &c->retry, 0, on_retry);
    if (ok)
        up_in(c, 1);
}

/* Not at once: headers also come with a refusal, whose status is right behind them. */
static void on_listen_headers(struct jmp_rpc *rpc, void *user)
{
    up_in(user, LISTEN_ANSWERED);
}

static void on_listen_message(struct jmp_rpc *rpc, const ProtobufCMessage *message, void *user)
{
    const Jumpstarter__V1__ListenResponse *response = (const void *)message;
    struct jmp_controller *c = user;

    if (!response)
        return;
    is_up(c);
    c->events->dialled(response->router_endpoint, response->router_token, c->user);
    if (c->listen_rpc == rpc)
        jmp_rpc_receive(rpc);
}

static void on_listen_retry(struct jmp_timer *timer)
{
    open_listen(CONTAINER_OF(timer, struct jmp_controller, listen_retry));
}

static void listen_again(struct jmp_controller *c)
{
    if (jmp_timer_start(c->loop, &c->listen_retry, jmp_backoff_next(&c->listen_backoff), on_listen_retry) < 0)
        jmp_log(JMP_LOG_CRITICAL, fields(c), "no timer: clients of this lease are not listened for");
}

static void on_listen_closed(struct jmp_rpc *rpc, const struct jmp_status *status, void *user)
{
    struct jmp_controller *c = user;

    c->listen_rpc = NULL;
    jmp_timer_stop(&c->listen_up);
    jmp_backoff_lasted(&c->listen_backoff, jmp_now() - c->listen_opened);
    jmp_log(c->heard ? JMP_LOG_WARNING : JMP_LOG_DEBUG, fields(c), "listening for clients ended: %s: %s; trying again",
            jmp_code_name(status->code), JMP_REDACT(status->text));
    listen_again(c);
}

static void open_listen(struct jmp_controller *c)
{
    static const struct jmp_rpc_events events = {
        .headers = on_listen_headers, .sent = on_listen_sent, .message = on_listen_message, .closed = on_listen_closed,
    };
    Jumpstarter__V1__ListenRequest request = JUMPSTARTER__V1__LISTEN_REQUEST__INIT;
    int r;

    jmp_timer_stop(&c->listen_retry);
    request.lease_name = c->lease;
    c->listen_opened = jmp_now();
    r = jmp_channel_call(c->channel, &jmp_controller_listen, identity(c), JMP_USEC_INFINITY, &request.base, &events,
                         c, &c->listen_rpc);
    if (r < 0) {
        jmp_log(JMP_LOG_ERROR, FIELDS(.lease = c->lease, .error = r), "cannot listen for clients: %m");
        listen_again(c);
        return;
    }
    jmp_rpc_receive(c->listen_rpc);
}

int jmp_controller_open_listen(struct jmp_controller *c, const char *lease)
{
    jmp_controller_close_listen(c);
    c->lease = strdup(lease);
    if (!c->lease)
        return -ENOMEM;
    c->listening = false;
    c->listen_backoff.failures = 0;
    open_listen(c);
    return 0;
}

void jmp_controller_close_listen(struct jmp_controller *c)
{
    struct jmp_rpc *rpc = TAKE_PTR(c->listen_rpc);

    if (rpc) {
        jmp_rpc_listen(rpc, NULL, NULL);
        jmp_rpc_cancel(rpc);
    }
    jmp_timer_stop(&c->listen_retry);
    jmp_timer_stop(&c->listen_up);
    free(TAKE_PTR(c->lease));
}

/* ReleaseLease. */

static void on_release_retry(struct jmp_timer *timer)
{
    send_release(CONTAINER_OF(timer, struct jmp_controller, release_retry));
}

static void release_in(struct jmp_controller *c, uint64_t wait)
{
    if (jmp_timer_start(c->loop, &c->release_retry, wait, on_release_retry) < 0)
        jmp_log(JMP_LOG_CRITICAL, fields(c), "no timer: the lease is not released");
}

static void on_released(const struct jmp_status *status, const ProtobufCMessage *message, void *user)
{
    struct jmp_controller *c = user;
    bool old_news = c->release_old_news;

    c->release_old_news = false;
    if (!landed(c, CALL_RELEASE))
        return;
    if (c->leaving) {
        if (!old_news)
            free(TAKE_PTR(c->release));
        leave(c);
        return;
    }
    if (old_news) {
        send_release(c);
        return;
    }
    if (!c->release)
        return;

    switch (status->code) {
    case JMP_OK:
    case JMP_NOT_FOUND:              /* there is no such lease, or it is not ours: as good as released */
    case JMP_FAILED_PRECONDITION:
        release_in(c, scaled(c, RELEASE_SHOWS));
        return;
    case JMP_PERMISSION_DENIED:      /* controllers that do not let exporters release take a flag instead */
    case JMP_INVALID_ARGUMENT:
    case JMP_UNAUTHENTICATED:
    case JMP_UNIMPLEMENTED:
        if (!c->old_release) {
            jmp_log(JMP_LOG_INFO, fields(c), "the controller knows no release by exporters (%s)",
                    jmp_code_name(status->code));
            c->old_release = true;
            send_release(c);
            return;
        }
        /* fall through */
    default:
        jmp_log(JMP_LOG_WARNING, FIELDS(.lease = c->release), "the lease was not released: %s: %s",
                jmp_code_name(status->code), JMP_REDACT(status->text));
        c->old_release = false;      /* the refusal may have been of the moment */
        release_in(c, jmp_backoff_next(&c->release_backoff));
        return;
    }
}

static void send_release(struct jmp_controller *c)
{
    Jumpstarter__V1__ReleaseLeaseRequest request = JUMPSTARTER__V1__RELEASE_LEASE_REQUEST__INIT;
    struct jmp_report flag = { .status = c->reports.last.status, .message = "Lease released" };
    uint64_t timeout = c->leaving ? GOODBYE_TIMEOUT : scaled(c, UNARY_TIMEOUT);
    int r;

    if (!c->release || c->calls[CALL_RELEASE] || (!c->heard && !c->leaving))
        return;
    jmp_timer_stop(&c->release_retry);
    if (c->old_release) {
        /* With AVAILABLE the flag could hit the next lease, should this be sent twice. */
        if (flag.status == JMP_EXPORTER_AVAILABLE || flag.status == JMP_EXPORTER_UNSPECIFIED)
            flag.status = JMP_EXPORTER_AFTER_LEASE_HOOK;
        r = send_report(c, CALL_RELEASE, &flag, true, timeout, on_released);
    } else {
        request.name = c->release;
        r = unary(c, CALL_RELEASE, &jmp_controller_release_lease, timeout, &request.base, on_released);
    }
    if (r < 0)
        release_in(c, jmp_backoff_next(&c->release_backoff));
}

int jmp_controller_release(struct jmp_controller *c, const char *lease)
{
    char *copy = strdup(lease);

    if (!copy)
        return -ENOMEM;
    if (c->calls[CALL_RELEASE] && (!c->release || strcmp(c->release, lease) != 0))
        c->release_old_news = true;
    free(c->release);
    c->release = copy;
    c->release_backoff.failures = 0;
    send_release(c);
    return 0;
}

/*
 * Goodbye: one step after the other, each with a short time.
 */

static void gone(struct jmp_controller *c)
{
    void (*left)(void *user) = TAKE_PTR(c->left);

    if (left)
        left(c->left_user);
}

static void on_unregistered(const struct jmp_status *status, const ProtobufCMessage *message, void *user)
{
    struct jmp_controller *c = user;

    if (!landed(c, CALL_UNREGISTER))
        return;
    jmp_log(status->code == JMP_OK ? JMP_LOG_INFO : JMP_LOG_WARNING, fields(c), "unregistered: %s%s%s",
            jmp_code_name(status->code), *status->text ? ": " : "", JMP_REDACT(status->text));
    gone(c);
}

static void leave(struct jmp_controller *c)
{
    Jumpstarter__V1__UnregisterRequest request = JUMPSTARTER__V1__UNREGISTER_REQUEST__INIT;
    static const struct jmp_report offline = { .status = JMP_EXPORTER_OFFLINE, .message = "Exporter shutting down" };

    /* What is under way comes back here. */
    if (c->calls[CALL_RELEASE] || c->calls[CALL_REPORT])
        return;
    if (c->release) {
        send_release(c);
        if (c->calls[CALL_RELEASE])
            return;
    }
    if (!c->said_offline) {
        c->said_offline = true;
        if (send_report(c, CALL_REPORT, &offline, false, GOODBYE_TIMEOUT, on_reported) == 0)
            return;
    }
    request.reason = (char *)"Exporter shutdown";
    if (unary(c, CALL_UNREGISTER, &jmp_controller_unregister, GOODBYE_TIMEOUT, &request.base, on_unregistered) < 0)
        gone(c);
}

static void end_status(struct jmp_controller *c)
{
    struct jmp_rpc *rpc = TAKE_PTR(c->status_rpc);

    if (rpc) {
        jmp_rpc_listen(rpc, NULL, NULL);
        jmp_rpc_cancel(rpc);
    }
    jmp_timer_stop(&c->retry);
    jmp_timer_stop(&c->silence);
}

void jmp_controller_goodbye(struct jmp_controller *c, void (*done)(void *user), void *user)
{
    c->left = done;
    c->left_user = user;
    c->leaving = true;
    end_status(c);
    jmp_controller_close_listen(c);
    jmp_timer_stop(&c->report_retry);
    jmp_timer_stop(&c->release_retry);
    /* A controller that never knew us, or is away, has nothing to be told. */
    if (!c->registered)
        gone(c);
    else
        leave(c);
}

/* Life. */

int jmp_controller_new(struct jmp_queue *queue, const struct jmp_controller_options *options,
                       const struct jmp_controller_events *events, void *user, struct jmp_controller **ret,
                       struct jmp_error *reterr)
{
    _cleanup_(jmp_controller_freep) struct jmp_controller *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    c->queue = queue;
    c->loop = jmp_queue_loop(queue);
    c->options = *options;
    c->events = events;
    c->user = user;
    c->backoff = c->report_backoff = c->listen_backoff = c->release_backoff =
        (struct jmp_backoff){ .base = scaled(c, JMP_USEC_PER_SEC), .cap = scaled(c, 30 * JMP_USEC_PER_SEC) };
    r = jmp_token_new(options->token, options->token_file, &c->token);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    c->metadata[0].key = "authorization";
    c->metadata[1] = (struct jmp_metadata){ "jumpstarter-kind", "Exporter" };
    c->metadata[2] = (struct jmp_metadata){ "jumpstarter-namespace", options->namespace_ ?: "" };
    c->metadata[3] = (struct jmp_metadata){ "jumpstarter-name", options->name };
    r = jmp_channel_new(queue, &options->channel, &c->channel, reterr);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(c);
    return 0;
}

struct jmp_controller *jmp_controller_free(struct jmp_controller *c)
{
    if (!c)
        return NULL;

    end_status(c);
    jmp_controller_close_listen(c);
    jmp_timer_close(&c->retry);
    jmp_timer_close(&c->silence);
    jmp_timer_close(&c->report_retry);
    jmp_timer_close(&c->listen_retry);
    jmp_timer_close(&c->listen_up);
    jmp_timer_close(&c->release_retry);
    for (unsigned i = 0; i < CALLS; i++)
        if (c->calls[i])
            jmp_rpc_cancel(c->calls[i]);
    c->channel = jmp_channel_free(c->channel);
    c->freed = true;
    maybe_destroy(c);
    return NULL;
}

const char *jmp_controller_bearer(struct jmp_controller *c) { return jmp_token_bearer(c->token); }

void jmp_controller_stats(const struct jmp_controller *c, struct jmp_controller_stats *ret)
{
    *ret = (struct jmp_controller_stats){ .endpoint = c->options.channel.endpoint, .connected = c->connected,
                                          .since = c->since, .reconnects = c->reconnects, .error = c->error };
}

void jmp_controller_start(struct jmp_controller *c)
{
    if (c->started)
        return;
    c->since = jmp_now();
    c->started = true;
    open_register(c);
}
