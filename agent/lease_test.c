/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lease.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/test.h"

#define S(name) JMP_LEASE_##name

static bool is_stopping(enum jmp_lease_state state)
{
    return state == S(STOP_AFTER) || state == S(STOP_FAILED) || state == S(STOP_CLOSING) || state == S(LEAVING) ||
           state == S(HANDING);
}

static bool has_session(enum jmp_lease_state state)
{
    switch (state) {
    case S(START):
    case S(IDLE):
    case S(PARTED):
    case S(LEAVING):
    case S(GONE):
        return false;
    default:
        return true;
    }
}

JMP_TEST(every_pair_of_state_and_event_has_an_answer)
{
    for (enum jmp_lease_state s = 0; s < S(STATES); s++) {
        for (enum jmp_lease_event e = 0; e < S(EVENTS); e++) {
            enum jmp_lease_state next = s;
            unsigned actions = jmp_lease_step(&next, e);

            assert_true(next < S(STATES));
            if (jmp_lease_sense(s, e) != JMP_LEASE_RULE) {
                assert_int_equal(next, s);
                assert_int_equal(actions, 0);
                continue;
            }
            /* A rule does something or goes somewhere. */
            assert_true(actions || next != s);
            /* Sessions are opened where there is none, and closed on the way out only. */
            if (actions & (S(OPEN) | S(REOPEN)))
                assert_true(!has_session(s) && has_session(next));
            if (actions & S(CLOSE))
                assert_true(has_session(s) && (next == S(CLOSING) || next == S(PARTING) || next == S(STOP_CLOSING) ||
                                               next == S(HANDING)));
            /* A lease that is handed over is neither released nor said goodbye for. */
            if (next == S(HANDING))
                assert_false(actions & (S(RELEASE) | S(SAY_GOODBYE) | S(RUN_AFTER)));
            /* What is told to a client needs one that can still read it. */
            if (actions & S(SHOW))
                assert_true(has_session(next));
            /* Every waiting state has its clock. */
            if (next != s && (next == S(ENDED) || next == S(FAILED) || next == S(STOP_FAILED)))
                assert_true(actions & S(START_GRACE));
            /* A hook is stopped before the next one runs, and only where one may run. */
            if (actions & S(STOP_HOOK))
                assert_true(s == S(BEFORE) || s == S(STOP_AFTER));
            if (is_stopping(s))
                assert_true(is_stopping(next) || next == S(GONE));
            if (actions & S(EXIT))
                assert_int_equal(next, S(GONE));
        }
    }
}

JMP_TEST(every_state_and_event_has_a_name)
{
    for (enum jmp_lease_state s = 0; s < S(STATES); s++)
        for (enum jmp_lease_state t = 0; t < s; t++)
            assert_string_not_equal(jmp_lease_state_name(s), jmp_lease_state_name(t));
    for (enum jmp_lease_event e = 0; e < S(EVENTS); e++)
        for (enum jmp_lease_event f = 0; f < e; f++)
            assert_string_not_equal(jmp_lease_event_name(e), jmp_lease_event_name(f));
    assert_string_equal(jmp_lease_state_name(S(STATES)), "?");
    assert_string_equal(jmp_lease_event_name(S(EVENTS)), "?");
}

/* What comes without anybody's help: sessions come up or not and go, hooks end or time out, leases expire. */
static const enum jmp_lease_event unaided[] = {
    S(DEVICES_UP), S(SESSION_UP), S(SESSION_FAILED), S(SESSION_DOWN), S(HOOK_DONE), S(HOOK_FAILED), S(HOOK_FATAL),
    S(GRACE_OVER), S(UNLEASED), S(GOODBYE_SAID),
};

static bool is_home(enum jmp_lease_state state) { return state == S(IDLE) || state == S(GONE); }

static bool gets_home(enum jmp_lease_state state, unsigned steps)
{
    for (size_t i = 0; !is_home(state) && steps > 0 && i < ELEMENTSOF(unaided); i++) {
        enum jmp_lease_state next = state;

        jmp_lease_step(&next, unaided[i]);
        if (next != state && gets_home(next, steps - 1))
            return true;
    }
    return is_home(state);
}

JMP_TEST(no_state_waits_for_a_human)
{
    for (enum jmp_lease_state s = 0; s < S(STATES); s++)
        assert_true(gets_home(s, 5));
}

JMP_TEST(one_kind_of_news_at_a_time_is_enough)
{
    /* Whatever else stays away, the answer to what a state itself has started brings it on. */
    static const struct {
        enum jmp_lease_state in;
        enum jmp_lease_event answers[3];
        unsigned count;
    } rows[] = {
        { S(START), { S(DEVICES_UP) }, 1 },
        { S(OPENING), { S(SESSION_UP), S(SESSION_FAILED) }, 2 },
        { S(RESUMING), { S(SESSION_UP), S(SESSION_FAILED) }, 2 },
        { S(BEFORE), { S(HOOK_DONE), S(HOOK_FAILED), S(HOOK_FATAL) }, 3 },
        { S(AFTER), { S(HOOK_DONE), S(HOOK_FAILED), S(HOOK_FATAL) }, 3 },
        { S(AFTER_GONE), { S(HOOK_DONE), S(HOOK_FAILED), S(HOOK_FATAL) }, 3 },
        { S(ENDED), { S(GRACE_OVER) }, 1 },
        { S(FAILED), { S(GRACE_OVER) }, 1 },
        { S(PARTING), { S(SESSION_DOWN) }, 1 },
        { S(CLOSING), { S(SESSION_DOWN) }, 1 },
        { S(STOP_AFTER), { S(HOOK_DONE), S(HOOK_FAILED), S(HOOK_FATAL) }, 3 },
        { S(STOP_FAILED), { S(GRACE_OVER) }, 1 },
        { S(STOP_CLOSING), { S(SESSION_DOWN) }, 1 },
        { S(LEAVING), { S(GOODBYE_SAID) }, 1 },
        { S(HANDING), { S(SESSION_DOWN) }, 1 },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        for (unsigned k = 0; k < rows[i].count; k++) {
            enum jmp_lease_state next = rows[i].in;

            jmp_lease_step(&next, rows[i].answers[k]);
            assert_int_not_equal(next, rows[i].in);
        }
}

JMP_TEST(a_stop_in_any_state_ends_the_program_even_if_nothing_answers)
{
    for (enum jmp_lease_state s = 0; s < S(STATES); s++) {
        const enum jmp_lease_event stops[] = { S(STOP), S(HAND_OVER) };

        for (size_t k = 0; k < ELEMENTSOF(stops); k++) {
            enum jmp_lease_state now = s;

            jmp_lease_step(&now, stops[k]);
            assert_true(is_stopping(now) || now == S(GONE));
            for (unsigned i = 0; i < 3; i++)
                jmp_lease_step(&now, S(HURRY));
            assert_int_equal(now, S(GONE));
        }
    }
}

JMP_TEST(the_end_of_a_lease_is_heard_in_every_state_that_serves_one)
{
    for (enum jmp_lease_state s = 0; s < S(STATES); s++) {
        bool serves = has_session(s) && !is_stopping(s) && s != S(AFTER_GONE) && s != S(CLOSING);

        if (serves || s == S(PARTED) || s == S(STOP_FAILED))
            assert_int_equal(jmp_lease_sense(s, S(UNLEASED)), JMP_LEASE_RULE);
    }
}

/* The usual lives, as rows: events, and the state after each. */
JMP_TEST(usual_lives)
{
    static const struct {
        const char *what;
        struct { enum jmp_lease_event on; enum jmp_lease_state then; unsigned actions; } steps[10];
    } lives[] = {
        { "a shell", {
            { S(DEVICES_UP), S(IDLE), S(RECALL) }, { S(UNLEASED), S(IDLE), S(REPORT) },
            { S(LEASED), S(OPENING), S(OPEN) }, { S(SESSION_UP), S(BEFORE), S(RUN_BEFORE) },
            { S(HOOK_DONE), S(READY), S(REPORT) }, { S(END_SESSION), S(AFTER), S(RUN_AFTER) },
            { S(HOOK_DONE), S(ENDED), S(SHOW) | S(START_GRACE) }, { S(UNLEASED), S(CLOSING), S(CLOSE) },
            { S(SESSION_DOWN), S(IDLE), S(RECALL) } } },
        { "a lease found at start", {
            { S(DEVICES_UP), S(IDLE), S(RECALL) }, { S(LEASED), S(OPENING), S(OPEN) },
            { S(SESSION_UP), S(BEFORE), S(RUN_BEFORE) }, { S(HOOK_DONE), S(READY), S(REPORT) },
            { S(UNLEASED), S(AFTER_GONE), S(RUN_AFTER) }, { S(HOOK_DONE), S(CLOSING), S(CLOSE) },
            { S(SESSION_DOWN), S(IDLE), S(RECALL) } } },
        { "a client that dies between EndSession and DeleteLease", {
            { S(DEVICES_UP), S(IDLE), S(RECALL) }, { S(LEASED), S(OPENING), S(OPEN) },
            { S(SESSION_UP), S(BEFORE), S(RUN_BEFORE) }, { S(HOOK_DONE), S(READY), S(REPORT) },
            { S(END_SESSION), S(AFTER), S(RUN_AFTER) }, { S(HOOK_DONE), S(ENDED), S(SHOW) | S(START_GRACE) },
            { S(GRACE_OVER), S(PARTING), S(RELEASE) | S(CLOSE) }, { S(SESSION_DOWN), S(PARTED), 0 },
            { S(UNLEASED), S(IDLE), S(RECALL) } } },
        { "a hook that ends the lease", {
            { S(DEVICES_UP), S(IDLE), S(RECALL) }, { S(LEASED), S(OPENING), S(OPEN) },
            { S(SESSION_UP), S(BEFORE), S(RUN_BEFORE) }, { S(HOOK_FAILED), S(FAILED), S(SHOW) | S(START_GRACE) },
            { S(GRACE_OVER), S(PARTING), S(REPORT) | S(RELEASE) | S(CLOSE) }, { S(UNLEASED), S(CLOSING), 0 },
            { S(SESSION_DOWN), S(IDLE), S(RECALL) } } },
        { "SIGTERM while a client works", {
            { S(DEVICES_UP), S(IDLE), S(RECALL) }, { S(LEASED), S(OPENING), S(OPEN) },
            { S(SESSION_UP), S(BEFORE), S(RUN_BEFORE) }, { S(HOOK_DONE), S(READY), S(REPORT) },
            { S(STOP), S(STOP_AFTER), S(RUN_AFTER) }, { S(HOOK_DONE), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },
            { S(SESSION_DOWN), S(LEAVING), S(SAY_GOODBYE) }, { S(GOODBYE_SAID), S(GONE), S(EXIT) } } },
        { "a restart while a client works, first half", {
            { S(DEVICES_UP), S(IDLE), S(RECALL) }, { S(LEASED), S(OPENING), S(OPEN) },
            { S(SESSION_UP), S(BEFORE), S(RUN_BEFORE) }, { S(HOOK_DONE), S(READY), S(REPORT) },
            { S(HAND_OVER), S(HANDING), S(CLOSE) }, { S(SESSION_DOWN), S(GONE), S(EXIT) } } },
        { "second half", {
            { S(DEVICES_UP), S(IDLE), S(RECALL) }, { S(RESUMED), S(RESUMING), S(REOPEN) },
            { S(SESSION_UP), S(READY), S(REPORT) }, { S(END_SESSION), S(AFTER), S(RUN_AFTER) },
            { S(HOOK_DONE), S(ENDED), S(SHOW) | S(START_GRACE) }, { S(UNLEASED), S(CLOSING), S(CLOSE) },
            { S(SESSION_DOWN), S(IDLE), S(RECALL) } } },
    };

    for (size_t l = 0; l < ELEMENTSOF(lives); l++) {
        enum jmp_lease_state now = S(START);

        for (size_t i = 0; i < ELEMENTSOF(lives[l].steps); i++) {
            unsigned actions;

            if (i > 0 && lives[l].steps[i].then == S(START))
                break;
            actions = jmp_lease_step(&now, lives[l].steps[i].on);
            if (now != lives[l].steps[i].then || actions != lives[l].steps[i].actions)
                fail_msg("%s, step %zu: in %s", lives[l].what, i, jmp_lease_state_name(now));
        }
    }
}

/*
 * A world around the table: it may only say what can be true (a session cannot go down that is not closing, a hook ends
 * once), but says it in any order. The leases are numbered; the exporter's side is played by what the actions ask for.
 */
struct world {
    unsigned held;                /* the lease that the controller has given us; 0: none */
    unsigned served;              /* the lease of the session, or the last one */
    unsigned known;               /* what the exporter has heard last */
    unsigned remembered;          /* in the file */
    bool devices, session, listening, opening, closing, hook, grace, goodbye, gone, stopped;
    /* The devices are as a reset or the start has left them; nobody has used them since. */
    bool clean;
    bool before_done, available;  /* available: what the controller believes */
    unsigned afters, releases;
};

static uint32_t draw(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static bool can_happen(const struct world *w, enum jmp_lease_state state, enum jmp_lease_event event)
{
    switch (event) {
    case S(DEVICES_UP): return !w->devices;
    case S(LEASED): return state == S(IDLE) && w->held && w->held != w->remembered;
    case S(RESUMED): return state == S(IDLE) && w->held && w->held == w->remembered;
    case S(UNLEASED): return w->session || state == S(PARTED) ? w->held != w->served : !w->held;
    case S(SESSION_UP):
    case S(SESSION_FAILED): return w->opening;
    case S(SESSION_DOWN): return w->closing;
    case S(HOOK_DONE):
    case S(HOOK_FAILED):
    case S(HOOK_FATAL): return w->hook;
    case S(END_SESSION): return w->session && !w->closing;
    case S(GRACE_OVER): return w->grace;
    case S(STOP):
    case S(HAND_OVER): return true;
    case S(HURRY): return w->stopped || is_stopping(state);   /* a person's, or a limit's */
    case S(GOODBYE_SAID): return w->goodbye;
    default: return false;
    }
}

/* What has come true by the event alone. */
static void happen(struct world *w, enum jmp_lease_event event)
{
    switch (event) {
    case S(DEVICES_UP): w->devices = true; break;
    case S(LEASED):
    case S(RESUMED):
    case S(UNLEASED): w->known = w->held; break;
    case S(SESSION_UP): w->opening = false; w->listening = true; break;
    case S(SESSION_FAILED): w->opening = false; break;
    case S(SESSION_DOWN): w->session = w->closing = w->listening = false; break;
    case S(HOOK_DONE):
    case S(HOOK_FAILED):
    case S(HOOK_FATAL): w->hook = false; break;
    case S(GRACE_OVER): w->grace = false; break;
    case S(STOP):
    case S(HAND_OVER): w->stopped = true; break;
    case S(GOODBYE_SAID): w->goodbye = false; break;
    default: break;
    }
}

static void carry_out(struct world *w, enum jmp_lease_state state, unsigned actions)
{
    if (actions & S(STOP_HOOK))
        w->hook = false;
    if (actions & (S(OPEN) | S(REOPEN))) {
        assert_false(w->session);           /* never two */
        assert_true(w->devices);
        assert_true(!(actions & S(REOPEN)) || w->remembered == w->held);
        w->session = w->opening = true;
        w->served = w->held;
        w->clean = !!(actions & S(OPEN));   /* reset before this lease's client comes near them */
        w->before_done = !!(actions & S(REOPEN));
        w->available = false;
        w->afters = w->releases = 0;
    }
    if (actions & S(RUN_BEFORE)) {
        assert_true(w->session && w->listening && w->clean && !w->before_done);
        assert_false(w->hook);
        w->hook = true;
    }
    if (actions & S(RUN_AFTER)) {
        assert_true(w->session && !w->hook);
        w->hook = true;
        assert_int_equal(++w->afters, 1);
    }
    if (actions & S(REPORT)) {
        if (state == S(IDLE)) {             /* AVAILABLE: to the controller only when clean */
            assert_false(w->session || w->hook || w->closing);
            w->available = true;
        }
        if (state == S(READY)) {            /* LEASE_READY: only with Listen up and the hook through */
            assert_true(w->session && w->listening && !w->hook && !w->opening && !w->closing);
            w->clean = false;
            w->before_done = true;
        }
    }
    if (actions & S(START_GRACE))
        w->grace = true;
    if (actions & S(RELEASE))
        assert_int_equal(++w->releases, 1);
    if (actions & S(CLOSE)) {
        assert_true(w->session && !w->closing);
        w->closing = true;
        w->opening = w->grace = w->hook = false;
    }
    if (actions & S(SAY_GOODBYE)) {
        assert_false(w->goodbye);
        w->goodbye = true;
    }
    if (actions & S(EXIT)) {
        assert_false(w->gone);
        w->gone = true;
    }
    if (state == S(READY))
        w->remembered = w->served;
    else if (state != S(HANDING) && state != S(GONE) && state != S(RESUMING) && state != S(IDLE) && state != S(START))
        w->remembered = 0;
}

/* Whatever the state waits for is under way: nothing is waited for that nobody has started. */
static bool something_is_due(const struct world *w, enum jmp_lease_state state)
{
    switch (state) {
    case S(START): return !w->devices;
    case S(IDLE): return true;              /* the controller speaks first */
    case S(READY): return w->held;          /* or its end is news that is still to come */
    case S(PARTED): return w->releases == 1;
    case S(GONE): return true;
    default: return w->opening || w->hook || w->grace || w->closing || w->goodbye;
    }
}

JMP_TEST(a_million_random_events_break_no_promise)
{
    uint32_t seed = 20240229;
    unsigned events = 0, processes = 0, leases = 0, resumed = 0, moments[S(STATES)][S(EVENTS)] = { 0 };
    struct world w = { 0 };

    for (; events < 1000000; processes++) {
        enum jmp_lease_state now = S(START);

        w = (struct world){ .held = w.held, .remembered = w.remembered };
        while (!w.gone) {
            enum jmp_lease_event event = draw(&seed) % S(EVENTS);
            unsigned actions;

            /* The controller gives, takes and replaces leases as it likes. */
            if (draw(&seed) % 100 == 0)
                w.held = draw(&seed) % 3 == 0 ? 0 : ++leases;
            /* What was released is taken back, sooner or later. */
            if (w.releases && w.held == w.served && draw(&seed) % 4 == 0)
                w.held = 0;
            if (!can_happen(&w, now, event) || (event == S(STOP) && draw(&seed) % 64) ||
                (event == S(HAND_OVER) && draw(&seed) % 8))
                continue;
            /* What the agent finds out before it says LEASED or UNLEASED. */
            if (now == S(IDLE) && (event == S(LEASED) || event == S(UNLEASED)))
                w.remembered = 0;
            if (jmp_lease_sense(now, event) == JMP_LEASE_IMPOSSIBLE)
                fail_msg("event %u: %s came in state %s", events, jmp_lease_event_name(event),
                         jmp_lease_state_name(now));

            events++;
            moments[now][event]++;
            happen(&w, event);
            resumed += event == S(RESUMED);
            actions = jmp_lease_step(&now, event);
            carry_out(&w, now, actions);
            assert_int_equal(w.gone, now == S(GONE));
            if (!something_is_due(&w, now) && now != S(READY))
                fail_msg("event %u: nothing is under way in state %s", events, jmp_lease_state_name(now));
        }
    }
    assert_true(processes > 1000);
    assert_true(leases > 5000);
    assert_true(resumed > 100);
    /* The walk has been everywhere. */
    for (enum jmp_lease_state s = 0; s < S(GONE); s++)
        for (enum jmp_lease_event e = 0; e < S(EVENTS); e++)
            if (jmp_lease_sense(s, e) == JMP_LEASE_RULE && !moments[s][e])
                fail_msg("%s never came in state %s", jmp_lease_event_name(e), jmp_lease_state_name(s));
}

/*
 * The documentation shows the table; JMP_GOLDEN_WRITE=1 writes it anew.
 */
static void print_rules(FILE *out)
{
    fprintf(out, "```mermaid\nstateDiagram-v2\n    [*] --> start\n");
    for (enum jmp_lease_state s = 0; s < S(STATES); s++)
        for (enum jmp_lease_event e = 0; e < S(EVENTS); e++) {
            enum jmp_lease_state next = s;

            jmp_lease_step(&next, e);
            if (next != s)
                fprintf(out, "    %s --> %s: %s\n", jmp_lease_state_name(s), jmp_lease_state_name(next),
                        jmp_lease_event_name(e));
        }
    fprintf(out, "    gone --> [*]\n```\n\n| in | on | next | what is done |\n|---|---|---|---|\n");
    for (enum jmp_lease_state s = 0; s < S(STATES); s++)
        for (enum jmp_lease_event e = 0; e < S(EVENTS); e++) {
            enum jmp_lease_state next = s;
            unsigned actions = jmp_lease_step(&next, e);
            const char *separator = "";

            if (jmp_lease_sense(s, e) != JMP_LEASE_RULE)
                continue;
            fprintf(out, "| %s | %s | %s | ", jmp_lease_state_name(s), jmp_lease_event_name(e),
                    jmp_lease_state_name(next));
            for (unsigned i = 0; jmp_lease_action_name(i); i++)
                if (actions & 1u << i) {
                    fprintf(out, "%s%s", separator, jmp_lease_action_name(i));
                    separator = ", ";
                }
            fprintf(out, " |\n");
        }
    fprintf(out, "\n| event | late news in | impossible in |\n|---|---|---|\n");
    for (enum jmp_lease_event e = 0; e < S(EVENTS); e++) {
        fprintf(out, "| %s |", jmp_lease_event_name(e));
        for (enum jmp_lease_sense sense = JMP_LEASE_LATE; sense <= JMP_LEASE_IMPOSSIBLE; sense++) {
            const char *separator = " ";

            for (enum jmp_lease_state s = 0; s < S(STATES); s++)
                if (jmp_lease_sense(s, e) == sense) {
                    fprintf(out, "%s%s", separator, jmp_lease_state_name(s));
                    separator = ", ";
                }
            fprintf(out, " |");
        }
        fprintf(out, "\n");
    }
}

JMP_TEST(the_documentation_shows_this_table)
{
    static const char begin[] = "<!-- written by agent/lease_test.c -->\n";
    _cleanup_free_ char *path = NULL, *text = NULL, *rules = NULL, *whole = NULL;
    size_t length, size;
    char *at;
    FILE *out;

    assert_true(asprintf(&path, "%s/docs/lease.md", getenv("JMP_SOURCE_DIR") ?: ".") > 0);
    assert_int_equal(jmp_file_read(path, 1024 * 1024, &text, &length, NULL), 0);
    out = open_memstream(&rules, &size);
    assert_non_null(out);
    print_rules(out);
    fclose(out);
    at = strstr(text, begin);
    assert_non_null(at);
    at += strlen(begin);
    if (getenv("JMP_GOLDEN_WRITE")) {
        assert_true(asprintf(&whole, "%.*s%s", (int)(at - text), text, rules) > 0);
        assert_int_equal(jmp_file_write(path, whole, strlen(whole), 0644, NULL), 0);
        return;
    }
    assert_string_equal(at, rules);
}
