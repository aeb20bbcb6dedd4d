/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lease.h"

#include <stddef.h>

#include "base/cleanup.h"

/* Shorter names, for a table that fits a screen. */
#define S(name) JMP_LEASE_##name

struct lease_rule {
    enum jmp_lease_state in;
    enum jmp_lease_event on;
    enum jmp_lease_state next;
    unsigned actions;
};

static const struct lease_rule rules[] = {
    { S(START), S(DEVICES_UP), S(IDLE), S(RECALL) },
    { S(START), S(STOP), S(LEAVING), S(SAY_GOODBYE) },
    { S(START), S(HAND_OVER), S(GONE), S(EXIT) },

    { S(IDLE), S(LEASED), S(OPENING), S(OPEN) },
    { S(IDLE), S(RESUMED), S(RESUMING), S(REOPEN) },
    { S(IDLE), S(UNLEASED), S(IDLE), S(REPORT) },
    { S(IDLE), S(STOP), S(LEAVING), S(SAY_GOODBYE) },
    { S(IDLE), S(HAND_OVER), S(GONE), S(EXIT) },

    { S(OPENING), S(SESSION_UP), S(BEFORE), S(RUN_BEFORE) },
    { S(OPENING), S(SESSION_FAILED), S(FAILED), S(REPORT) | S(START_GRACE) },
    { S(OPENING), S(END_SESSION), S(ENDED), S(SHOW) | S(START_GRACE) },
    { S(OPENING), S(UNLEASED), S(CLOSING), S(CLOSE) },
    { S(OPENING), S(STOP), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },
    { S(OPENING), S(HAND_OVER), S(HANDING), S(CLOSE) },

    /* The beforeLease hook has run, if in another process: afterLease is owed. */
    { S(RESUMING), S(SESSION_UP), S(READY), S(REPORT) },
    { S(RESUMING), S(SESSION_FAILED), S(FAILED), S(REPORT) | S(START_GRACE) },
    { S(RESUMING), S(END_SESSION), S(AFTER), S(RUN_AFTER) },
    { S(RESUMING), S(UNLEASED), S(AFTER_GONE), S(RUN_AFTER) },
    { S(RESUMING), S(STOP), S(STOP_AFTER), S(RUN_AFTER) },
    { S(RESUMING), S(HAND_OVER), S(HANDING), S(CLOSE) },

    { S(BEFORE), S(HOOK_DONE), S(READY), S(REPORT) },
    { S(BEFORE), S(HOOK_FAILED), S(FAILED), S(SHOW) | S(START_GRACE) },
    { S(BEFORE), S(HOOK_FATAL), S(STOP_FAILED), S(SHOW) | S(START_GRACE) },
    { S(BEFORE), S(END_SESSION), S(AFTER), S(STOP_HOOK) | S(RUN_AFTER) },
    { S(BEFORE), S(UNLEASED), S(AFTER_GONE), S(STOP_HOOK) | S(RUN_AFTER) },
    { S(BEFORE), S(STOP), S(STOP_AFTER), S(STOP_HOOK) | S(RUN_AFTER) },
    { S(BEFORE), S(HAND_OVER), S(HANDING), S(STOP_HOOK) | S(CLOSE) },

    { S(READY), S(END_SESSION), S(AFTER), S(RUN_AFTER) },
    { S(READY), S(UNLEASED), S(AFTER_GONE), S(RUN_AFTER) },
    { S(READY), S(STOP), S(STOP_AFTER), S(RUN_AFTER) },
    { S(READY), S(HAND_OVER), S(HANDING), S(CLOSE) },

    { S(AFTER), S(HOOK_DONE), S(ENDED), S(SHOW) | S(START_GRACE) },
    { S(AFTER), S(HOOK_FAILED), S(FAILED), S(REPORT) | S(START_GRACE) },
    { S(AFTER), S(HOOK_FATAL), S(STOP_FAILED), S(REPORT) | S(START_GRACE) },
    { S(AFTER), S(UNLEASED), S(AFTER_GONE), 0 },
    /* From here on a lease is not worth handing over: it is brought to its end. */
    { S(AFTER), S(STOP), S(STOP_AFTER), 0 },
    { S(AFTER), S(HAND_OVER), S(STOP_AFTER), 0 },

    /* Nobody is left to read a status. */
    { S(AFTER_GONE), S(HOOK_DONE), S(CLOSING), S(CLOSE) },
    { S(AFTER_GONE), S(HOOK_FAILED), S(CLOSING), S(CLOSE) },
    { S(AFTER_GONE), S(HOOK_FATAL), S(STOP_CLOSING), S(CLOSE) },
    { S(AFTER_GONE), S(STOP), S(STOP_AFTER), 0 },
    { S(AFTER_GONE), S(HAND_OVER), S(STOP_AFTER), 0 },

    { S(ENDED), S(UNLEASED), S(CLOSING), S(CLOSE) },
    { S(ENDED), S(GRACE_OVER), S(PARTING), S(RELEASE) | S(CLOSE) },
    { S(ENDED), S(STOP), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },
    { S(ENDED), S(HAND_OVER), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },

    /* Whoever is on the way here may still come and read why: controllers let nobody in to an exporter that has said
     * it. */
    { S(FAILED), S(UNLEASED), S(CLOSING), S(REPORT) | S(CLOSE) },
    { S(FAILED), S(GRACE_OVER), S(PARTING), S(REPORT) | S(RELEASE) | S(CLOSE) },
    { S(FAILED), S(STOP), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },
    { S(FAILED), S(HAND_OVER), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },

    /* The release is repeated until the controller has taken the lease back, so PARTED ends without us. */
    { S(PARTING), S(SESSION_DOWN), S(PARTED), 0 },
    { S(PARTING), S(UNLEASED), S(CLOSING), 0 },
    { S(PARTING), S(STOP), S(STOP_CLOSING), 0 },
    { S(PARTING), S(HAND_OVER), S(STOP_CLOSING), 0 },
    { S(PARTED), S(UNLEASED), S(IDLE), S(RECALL) },
    { S(PARTED), S(STOP), S(LEAVING), S(SAY_GOODBYE) },
    { S(PARTED), S(HAND_OVER), S(LEAVING), S(SAY_GOODBYE) },

    { S(CLOSING), S(SESSION_DOWN), S(IDLE), S(RECALL) },
    { S(CLOSING), S(STOP), S(STOP_CLOSING), 0 },
    { S(CLOSING), S(HAND_OVER), S(STOP_CLOSING), 0 },

    { S(STOP_AFTER), S(HOOK_DONE), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },
    { S(STOP_AFTER), S(HOOK_FAILED), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },
    { S(STOP_AFTER), S(HOOK_FATAL), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },
    { S(STOP_AFTER), S(HURRY), S(STOP_CLOSING), S(STOP_HOOK) | S(RELEASE) | S(CLOSE) },

    { S(STOP_FAILED), S(GRACE_OVER), S(STOP_CLOSING), S(REPORT) | S(RELEASE) | S(CLOSE) },
    { S(STOP_FAILED), S(UNLEASED), S(STOP_CLOSING), S(REPORT) | S(CLOSE) },
    { S(STOP_FAILED), S(STOP), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },
    { S(STOP_FAILED), S(HAND_OVER), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },
    { S(STOP_FAILED), S(HURRY), S(STOP_CLOSING), S(RELEASE) | S(CLOSE) },

    { S(STOP_CLOSING), S(SESSION_DOWN), S(LEAVING), S(SAY_GOODBYE) },
    { S(STOP_CLOSING), S(HURRY), S(LEAVING), S(SAY_GOODBYE) },

    { S(LEAVING), S(GOODBYE_SAID), S(GONE), S(EXIT) },
    { S(LEAVING), S(HURRY), S(GONE), S(EXIT) },

    { S(HANDING), S(SESSION_DOWN), S(GONE), S(EXIT) },
    { S(HANDING), S(HURRY), S(GONE), S(EXIT) },
};

static const struct lease_rule *find(enum jmp_lease_state state, enum jmp_lease_event event)
{
    for (size_t i = 0; i < ELEMENTSOF(rules); i++)
        if (rules[i].in == state && rules[i].on == event)
            return &rules[i];
    return NULL;
}

/*
 * Where an event without a rule is late news. Clients, controllers, people and timers speak whenever they like; what
 * the agent itself has started ends once, so its end comes where the state waits for it or where the state no longer
 * does.
 */
#define ALL ((1u << S(STATES)) - 1)
#define IN(name) (1u << S(name))
static const unsigned late[] = {
    [S(DEVICES_UP)] = IN(LEAVING) | IN(GONE),
    [S(UNLEASED)] = ALL,
    [S(END_SESSION)] = ALL & ~(IN(START) | IN(IDLE)),
    [S(STOP)] = ALL,
    [S(HAND_OVER)] = ALL,
    [S(HURRY)] = ALL,
    /* The client or the lease was gone before the session stood. */
    [S(SESSION_UP)] = ALL & ~(IN(START) | IN(IDLE) | IN(BEFORE) | IN(READY) | IN(PARTED) | IN(LEAVING) | IN(GONE)),
    [S(SESSION_FAILED)] = ALL & ~(IN(START) | IN(IDLE) | IN(BEFORE) | IN(READY) | IN(PARTED) | IN(LEAVING) | IN(GONE)),
    [S(SESSION_DOWN)] = IN(LEAVING) | IN(GONE),
    [S(GRACE_OVER)] = IN(CLOSING) | IN(STOP_CLOSING),
    [S(GOODBYE_SAID)] = IN(GONE),
    [S(EVENTS)] = 0,
};

enum jmp_lease_sense jmp_lease_sense(enum jmp_lease_state state, enum jmp_lease_event event)
{
    if (find(state, event))
        return JMP_LEASE_RULE;
    return (unsigned)event < S(EVENTS) && (late[event] & 1u << state) ? JMP_LEASE_LATE : JMP_LEASE_IMPOSSIBLE;
}

unsigned jmp_lease_step(enum jmp_lease_state *state, enum jmp_lease_event event)
{
    const struct lease_rule *rule = find(*state, event);

    if (!rule)
        return 0;

    *state = rule->next;
    return rule->actions;
}

const char *jmp_lease_state_name(enum jmp_lease_state state)
{
    static const char *const names[] = {
        [S(START)] = "start",
        [S(IDLE)] = "idle",
        [S(OPENING)] = "opening",
        [S(RESUMING)] = "resuming",
        [S(BEFORE)] = "before",
        [S(READY)] = "ready",
        [S(AFTER)] = "after",
        [S(AFTER_GONE)] = "after-gone",
        [S(ENDED)] = "ended",
        [S(FAILED)] = "failed",
        [S(PARTING)] = "parting",
        [S(PARTED)] = "parted",
        [S(CLOSING)] = "closing",
        [S(STOP_AFTER)] = "stop-after",
        [S(STOP_FAILED)] = "stop-failed",
        [S(STOP_CLOSING)] = "stop-closing",
        [S(LEAVING)] = "leaving",
        [S(HANDING)] = "handing-over",
        [S(GONE)] = "gone",
    };

    return (unsigned)state < ELEMENTSOF(names) ? names[state] : "?";
}

const char *jmp_lease_event_name(enum jmp_lease_event event)
{
    static const char *const names[] = {
        [S(DEVICES_UP)] = "devices-up",
        [S(LEASED)] = "leased",
        [S(RESUMED)] = "resumed",
        [S(UNLEASED)] = "unleased",
        [S(SESSION_UP)] = "session-up",
        [S(SESSION_FAILED)] = "session-failed",
        [S(SESSION_DOWN)] = "session-down",
        [S(HOOK_DONE)] = "hook-done",
        [S(HOOK_FAILED)] = "hook-failed",
        [S(HOOK_FATAL)] = "hook-fatal",
        [S(END_SESSION)] = "end-session",
        [S(GRACE_OVER)] = "grace-over",
        [S(STOP)] = "stop",
        [S(HAND_OVER)] = "hand-over",
        [S(HURRY)] = "hurry",
        [S(GOODBYE_SAID)] = "goodbye-said",
    };

    return (unsigned)event < ELEMENTSOF(names) ? names[event] : "?";
}

const char *jmp_lease_action_name(unsigned number)
{
    static const char *const names[] = {
        "stop hook",   "open",    "reopen", "run beforeLease", "run afterLease", "report", "show",
        "start grace", "release", "close",  "recall",          "say goodbye",    "exit",
    };

    return number < ELEMENTSOF(names) ? names[number] : NULL;
}
