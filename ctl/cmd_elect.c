/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jmpctl kube elect: run a program only while we lead. Between us and the program stands a guard, this program again,
 * which is told until when the program may run and ends it then by itself: also when we are killed, stopped or hang.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "base/child.h"
#include "ctl/cmd_kube.h"
#include "kube/elector.h"

/* What the guard is told, in jmp_now() microseconds. */
struct orders {
    uint64_t stop_at;     /* SIGTERM */
    uint64_t kill_at;     /* SIGKILL, to the whole process group */
};

const struct jmp_option jmp_kube_elect_options[] = {
    { .key = "lease",
      JMP_FIELD_AS(struct jmp_kube_elect, lease),
      .value_name = "NAME",
      .required = true,
      .help = "the Lease that decides" },
    { JMP_FIELD(struct jmp_kube_elect, identity), .value_name = "NAME",
      .help = "who we are (default: host name and a random UUID)" },
    { JMP_FIELD(struct jmp_kube_elect, lease_duration), .value_name = "SECONDS", .preset = "15", .min = 1, .max = 86400,
      .help = "after this long without a renewal others may take over" },
    { JMP_FIELD(struct jmp_kube_elect, renew_deadline), .value_name = "SECONDS", .preset = "10", .min = 0.1,
      .max = 86400, .help = "after this long without a renewal the program is stopped" },
    { JMP_FIELD(struct jmp_kube_elect, retry_period), .value_name = "SECONDS", .preset = "2", .min = 0.05, .max = 86400,
      .help = "how often to renew, or to look" },
    { JMP_FIELD(struct jmp_kube_elect, release),
      .help = "give the Lease back at the end, so that others need not wait" },
    JMP_KUBE_ACCESS_OPTIONS,
    {}
};

struct election {
    struct jmp_ctl_kube kube;
    struct jmp_elector *elector;
    struct jmp_elect_timing timing;
    char identity[JMP_KUBE_HOLDER_MAX + 1];
    char **words;
    struct jmp_child *guard;
    int orders;               /* our end of its standard input */
    int code;                 /* of the program; -1 while it has none */
    bool lost, ended;
    struct jmp_error error;
};

static void tell_guard(struct election *election, uint64_t deadline)
{
    uint64_t lease_over = deadline - election->timing.renew_deadline + election->timing.lease_duration;
    uint64_t margin = (election->timing.lease_duration - election->timing.renew_deadline) / 5;
    const struct orders orders = { .stop_at = deadline, .kill_at = lease_over - margin };

    /* A guard that has gone needs no orders, and its end is told by on_guard_exited(). One that hangs is ended: its
     * orders were not renewed, so nobody may rely on it. */
    if (write(election->orders, &orders, sizeof(orders)) < 0 && errno != EPIPE)
        jmp_child_signal(election->guard, SIGKILL);
}

static void on_guard_exited(struct jmp_child *child, void *user)
{
    struct election *election = user;

    election->code = jmp_child_code(child);
    election->guard = jmp_child_free(child);
    election->orders = jmp_close(election->orders);
    election->ended = true;
    jmp_loop_exit(election->kube.loop, 0);
}

static int start_guard(struct election *election, struct jmp_error *reterr)
{
    _cleanup_close_pair_ int orders[2] = { -EBADF, -EBADF };
    struct jmp_child_options options = { 0 };
    _cleanup_free_ char **argv = NULL;
    size_t count = 0;
    int r;

    while (election->words[count])
        count++;
    argv = calloc(count + 5, sizeof(*argv));
    if (!argv)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    argv[0] = (char *)"/proc/self/exe";
    argv[1] = (char *)"kube";
    argv[2] = (char *)"guard";
    argv[3] = (char *)"--";
    memcpy(argv + 4, election->words, count * sizeof(*argv));
    if (pipe2(orders, O_CLOEXEC) < 0 || fcntl(orders[1], F_SETFL, O_NONBLOCK) < 0)
        return jmp_error_set(reterr, -errno, "no pipe to the guard: %m");
    options.argv = argv;
    options.in = orders[0];
    r = jmp_child_start(election->kube.loop, &options, on_guard_exited, election, &election->guard, reterr);
    if (r < 0)
        return r;
    election->orders = TAKE_FD(orders[1]);
    return 0;
}

static void on_leads(uint64_t deadline, void *user)
{
    struct election *election = user;

    if (!election->guard && start_guard(election, &election->error) < 0) {
        election->ended = true;
        jmp_loop_exit(election->kube.loop, 0);
        return;
    }
    tell_guard(election, deadline);
}

static void on_stop(void *user)
{
    struct election *election = user;

    election->lost = true;
    fprintf(stderr, "%s is not the leader\n", election->identity);
    if (election->guard) {
        /* Its orders stand: it stops the program at the deadline, which is now, and kills it before the Lease is
         * over. */
        election->orders = jmp_close(election->orders);
    } else {
        election->ended = true;
        jmp_loop_exit(election->kube.loop, 0);
    }
}

static void on_leader(const char *identity, void *user)
{
    struct election *election = user;

    if (*identity)
        fprintf(stderr, "%s is now the leader\n", identity);
    if (strcmp(identity, election->identity) != 0)
        fprintf(stderr, "%s is not the leader\n", election->identity);
}

static const struct jmp_elector_events events = { .leads = on_leads, .stop = on_stop, .leader = on_leader };

static void on_released(void *user) { jmp_loop_exit(((struct election *)user)->kube.loop, 0); }

static void take_part(struct election *election)
{
    bool stopping = false;

    while (!election->ended) {
        if (jmp_ctl_wait(&election->kube) < 0) {
            /* Told to stop: the program first. A second signal is for the impatient. */
            election->kube.signal = 0;
            jmp_loop_resume(election->kube.loop);
            if (!election->guard)
                break;
            jmp_child_signal(election->guard, stopping ? SIGKILL : SIGTERM);
            stopping = true;
        }
    }
}

static void set_identity(struct election *election, const struct jmp_kube_elect *options)
{
    char host[HOST_NAME_MAX + 1] = "unknown", uuid[JMP_UUID_SIZE];

    if (options->identity) {
        snprintf(election->identity, sizeof(election->identity), "%s", options->identity);
        return;
    }
    if (gethostname(host, sizeof(host) - 1) < 0)
        host[sizeof(host) - 1] = '\0';
    jmp_uuid_random(uuid);
    snprintf(election->identity, sizeof(election->identity), "%s_%s", host, uuid);
}

int jmp_cmd_kube_elect(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_kube_elect *options = object;
    struct election election = {
        .words = words, .orders = -EBADF, .code = -1,
        .timing = { .lease_duration = (uint64_t)(options->lease_duration * 1e6),
                    .renew_deadline = (uint64_t)(options->renew_deadline * 1e6),
                    .retry_period = (uint64_t)(options->retry_period * 1e6) },
    };
    int r;

    set_identity(&election, options);
    r = jmp_elect_check(&election.timing, election.identity, reterr);
    if (r < 0) {
        ctl->usage = true;
        return r;
    }
    r = jmp_ctl_kube_open(&election.kube, &options->kube, reterr);
    if (r == 0)
        r = jmp_elector_new(election.kube.kube, options->kube.namespace_, options->lease, election.identity,
                            &election.timing, &events, &election, &election.elector, reterr);
    if (r == 0) {
        take_part(&election);
        if (options->release && !election.lost) {
            jmp_loop_resume(election.kube.loop);
            jmp_elector_release(election.elector, on_released, &election);
            jmp_ctl_wait(&election.kube);
        }
        if (election.error.error < 0 && reterr)
            *reterr = election.error;
        r = election.error.error < 0 ? election.error.error
            : election.lost          ? JMP_CTL_EXIT_ERROR
            : election.code < 0      ? 0
                                     : election.code;
    }
    jmp_elector_free(election.elector);
    jmp_child_free(election.guard);
    jmp_close(election.orders);
    jmp_ctl_kube_close(&election.kube);
    return r;
}

/*
 * The guard.
 */

struct guard {
    struct jmp_loop *loop;
    struct jmp_child *child;
    struct jmp_io io;
    struct jmp_timer timer;
    struct orders orders;
    bool stopped;
};

static void keep_orders(struct guard *guard);

static void on_due(struct jmp_timer *timer) { keep_orders(CONTAINER_OF(timer, struct guard, timer)); }

static void keep_orders(struct guard *guard)
{
    uint64_t now = jmp_now(), next;

    if (guard->orders.kill_at <= now) {
        guard->stopped = true;
        jmp_child_signal(guard->child, SIGKILL);
        return;
    }
    if (guard->orders.stop_at <= now && !guard->stopped) {
        guard->stopped = true;
        jmp_child_signal(guard->child, SIGTERM);
        jmp_child_signal(guard->child, SIGCONT);
    }
    next = guard->stopped ? guard->orders.kill_at : guard->orders.stop_at;
    if (jmp_timer_start(guard->loop, &guard->timer, next - now, on_due) < 0)
        jmp_child_signal(guard->child, SIGKILL);
}

static void on_orders(struct jmp_io *io, uint32_t revents)
{
    struct guard *guard = CONTAINER_OF(io, struct guard, io);
    struct orders orders;
    /* Whole: they are written at once, and shorter than a pipe's atom. */
    ssize_t n = read(io->fd, &orders, sizeof(orders));

    if (n == (ssize_t)sizeof(orders)) {
        guard->orders = orders;
    } else if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    } else {
        /* Whoever gave the orders has gone, or wants no more of the program. */
        jmp_io_close(io);
        if (guard->orders.stop_at > jmp_now())
            guard->orders.stop_at = jmp_now();
    }
    keep_orders(guard);
}

static void on_child_exited(struct jmp_child *child, void *user)
{
    struct guard *guard = user;

    /* A program that ends in good order when we stop it has lost all the same: 0 would say that it was done. */
    jmp_loop_exit(guard->loop, guard->stopped ? JMP_CTL_EXIT_ERROR : jmp_child_code(child));
}

static void on_guard_signal(int signal, void *user)
{
    struct guard *guard = user;

    jmp_child_signal(guard->child, signal);
}

int jmp_cmd_kube_guard(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const struct jmp_child_options options = { .argv = words, .in = null, .group = true };
    struct guard guard = { 0 };
    int r = null < 0 ? -errno : 0;

    if (r == 0)
        r = jmp_loop_new(&guard.loop);
    for (size_t i = 0; r == 0 && i < ELEMENTSOF(signals); i++)
        r = jmp_loop_signal(guard.loop, signals[i], on_guard_signal, &guard);
    /* Nothing runs before there are orders. */
    if (r == 0 && read(STDIN_FILENO, &guard.orders, sizeof(guard.orders)) != (ssize_t)sizeof(guard.orders))
        r = -ECANCELED;
    if (r < 0)
        jmp_error_set(reterr, r, "%m");
    else
        r = jmp_child_start(guard.loop, &options, on_child_exited, &guard, &guard.child, reterr);
    if (r == 0) {
        r = jmp_io_start(guard.loop, &guard.io, STDIN_FILENO, EPOLLIN, on_orders);
        if (r == 0) {
            keep_orders(&guard);
            r = jmp_loop_run(guard.loop);
        } else {
            jmp_error_set(reterr, r, "%m");
        }
    }
    jmp_io_close(&guard.io);
    jmp_timer_close(&guard.timer);
    jmp_child_free(guard.child);
    jmp_loop_free(guard.loop);
    return r;
}
