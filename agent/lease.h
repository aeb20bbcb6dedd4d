/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a lease as a table: state and event give the next state and what is to be done. No I/O, no clock, no
 * memory; agent/steps.c feeds the events and carries the actions out. (docs/lease.md)
 */
#pragma once

#include <stdbool.h>

enum jmp_lease_state {
    JMP_LEASE_START,         /* the devices are being opened for the first time */
    JMP_LEASE_IDLE,          /* nobody's: the controller may hand us out */
    JMP_LEASE_OPENING,       /* a lease has begun: devices are reset, the session and Listen come up */
    JMP_LEASE_RESUMING,      /* the same for a lease that an earlier process has made ready: nothing is reset */
    JMP_LEASE_BEFORE,        /* the beforeLease hook runs; driver calls of the client are held */
    JMP_LEASE_READY,         /* the client works */
    JMP_LEASE_AFTER,         /* the client said that it is done; the afterLease hook runs */
    JMP_LEASE_AFTER_GONE,    /* the same, but the lease is over already */
    JMP_LEASE_ENDED,         /* AVAILABLE can be read in the session; the client is expected to delete its lease */
    JMP_LEASE_FAILED,        /* a failed hook or a session that did not come up: the client may read why */
    JMP_LEASE_PARTING,       /* we have asked for the lease's release, the session closes */
    JMP_LEASE_PARTED,        /* closed, but the controller has not taken the lease back yet */
    JMP_LEASE_CLOSING,       /* the lease is over, the session closes */
    JMP_LEASE_STOP_AFTER,    /* stopping: the afterLease hook runs */
    JMP_LEASE_STOP_FAILED,   /* stopping because a hook said so: the client may read why */
    JMP_LEASE_STOP_CLOSING,  /* stopping: the session closes */
    JMP_LEASE_LEAVING,       /* stopping: the controller is being told */
    JMP_LEASE_HANDING,       /* stopping, but the next process goes on with the lease: the session closes */
    JMP_LEASE_GONE,          /* the program ends */
    JMP_LEASE_STATES,
};

enum jmp_lease_event {
    JMP_LEASE_DEVICES_UP,      /* every device was tried once */
    JMP_LEASE_LEASED,          /* the controller's last word: ours is a lease; fed in IDLE only */
    JMP_LEASE_RESUMED,         /* LEASED, and an earlier process has made this lease ready */
    JMP_LEASE_UNLEASED,        /* the controller's last word: the lease we serve is no longer ours, or there is none */
    JMP_LEASE_SESSION_UP,
    JMP_LEASE_SESSION_FAILED,
    JMP_LEASE_SESSION_DOWN,    /* closed, and the devices rest */
    JMP_LEASE_HOOK_DONE,       /* also at once when there is no hook, and for failures that only warn */
    JMP_LEASE_HOOK_FAILED,     /* onFailure: endLease, or the hook could not be run */
    JMP_LEASE_HOOK_FATAL,      /* onFailure: exit */
    JMP_LEASE_END_SESSION,     /* the client's EndSession */
    JMP_LEASE_GRACE_OVER,      /* the time given by START_GRACE has passed */
    JMP_LEASE_STOP,            /* SIGTERM, or the end of the last lease of an agent that is to go */
    JMP_LEASE_HAND_OVER,       /* STOP, but we are started anew at once */
    JMP_LEASE_HURRY,           /* the second SIGTERM, or the time for an orderly stop is over */
    JMP_LEASE_GOODBYE_SAID,    /* the controller knows, or will not be told */
    JMP_LEASE_EVENTS,
};

/* Carried out in the order of their values. Each starts something and returns; its end is an event. */
enum jmp_lease_action {
    JMP_LEASE_STOP_HOOK = 1 << 0,      /* end the running hook; no event of its end */
    JMP_LEASE_OPEN = 1 << 1,           /* session and Listen up, devices reset: SESSION_UP or SESSION_FAILED */
    JMP_LEASE_REOPEN = 1 << 2,         /* the same without the reset */
    JMP_LEASE_RUN_BEFORE = 1 << 3,     /* announce and run the hook: HOOK_* */
    JMP_LEASE_RUN_AFTER = 1 << 4,
    JMP_LEASE_REPORT = 1 << 5,         /* the state's status, to the session and the controller; a failure once */
    JMP_LEASE_SHOW = 1 << 6,           /* the state's status, to the session alone */
    JMP_LEASE_START_GRACE = 1 << 7,    /* GRACE_OVER */
    JMP_LEASE_RELEASE = 1 << 8,        /* ask the controller to end the lease, unless it has */
    JMP_LEASE_CLOSE = 1 << 9,          /* SESSION_DOWN */
    JMP_LEASE_RECALL = 1 << 10,        /* feed the controller's last word again: LEASED, RESUMED, UNLEASED; or STOP */
    JMP_LEASE_SAY_GOODBYE = 1 << 11,   /* OFFLINE, Unregister: GOODBYE_SAID */
    JMP_LEASE_EXIT = 1 << 12,
};

/** jmp_lease_step() - what follows
 * @state:  changed when the event means something in it
 * Return: actions; 0 may also be a step. False news (an event too late, or twice) changes nothing. */
unsigned jmp_lease_step(enum jmp_lease_state *state, enum jmp_lease_event event);

/* What an event means in a state. */
enum jmp_lease_sense {
    JMP_LEASE_RULE,          /* the table has a rule */
    JMP_LEASE_LATE,          /* it was true when it was sent; meanwhile it says nothing new */
    JMP_LEASE_IMPOSSIBLE,    /* a mistake of ours: who feeds it logs that, and all stays as it is */
};
enum jmp_lease_sense jmp_lease_sense(enum jmp_lease_state state, enum jmp_lease_event event);
/** jmp_lease_action_name() - of one bit, by its number; NULL: there are no more */
const char *jmp_lease_action_name(unsigned number);

const char *jmp_lease_state_name(enum jmp_lease_state state);
const char *jmp_lease_event_name(enum jmp_lease_event event);
