/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/scheduler.h"

#include <string.h>

#include "labd/selector.h"

static struct jmp_board *find(struct jmp_board *boards, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(boards[i].exporter->name, name) == 0)
            return &boards[i];

    return NULL;
}

static bool is_idle(const struct jmp_board *board)
{
    return board->exporter->status == JMP_STATUS_AVAILABLE || board->exporter->status == JMP_STATUS_UNSPECIFIED;
}

static int refuse(struct jmp_lease *lease, int64_t now)
{
    jmp_lease_finish(lease, JMP_LEASE_REFUSED, now);
    return 1;
}

/* Does a condition of this kind, for this reason, stand already? Then nothing has to be written. */
static bool says(const struct jmp_lease *lease, enum jmp_condition_type type, const char *reason)
{
    for (size_t i = 0; i < lease->condition_count; i++)
        if (lease->conditions[i].type == type)
            return lease->conditions[i].status && strcmp(lease->conditions[i].reason, reason) == 0;

    return false;
}

static int wait_for(struct jmp_lease *lease, const char *reason, int64_t now, const char *what, const char *first, size_t count)
{
    if (says(lease, JMP_PENDING, reason))
        return 0;

    jmp_lease_set_condition(lease, JMP_PENDING, true, reason, now, "%s (%zu matching, the first is %s)", what, count, first);
    return 1;
}

static int assign(struct jmp_lease *lease, struct jmp_board *boards, size_t board_count, int64_t now)
{
    _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };
    size_t matching = 0, usable = 0, online = 0, free_boards = 0;
    struct jmp_board *chosen = NULL;
    const char *first = NULL, *first_online = NULL, *first_free = NULL;
    int r;

    r = jmp_selector_parse(&selector, lease->selector, NULL);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || (selector.count == 0 && !lease->wanted)) {
        jmp_lease_set_condition(lease, JMP_INVALID, true, "InvalidSelector", now,
                                "the selector of the lease must not be empty and must be well-formed");
        return refuse(lease, now);
    }

    if (lease->wanted) {
        const struct jmp_board *board = find(boards, board_count, lease->wanted);

        if (!board) {
            jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "ExporterNotFound", now, "exporter %s does not exist",
                                    lease->wanted);
            return refuse(lease, now);
        }
        if (!jmp_selector_matches(&selector, &board->exporter->labels)) {
            jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "SelectorMismatch", now,
                                    "exporter %s does not match the selector %s", lease->wanted, lease->selector);
            return refuse(lease, now);
        }
        if (!board->exporter->enabled && !lease->allow_disabled) {
            jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "ExporterDisabled", now,
                                    "exporter %s is disabled; allowDisabled (--allow-disabled) leases it all the same", lease->wanted);
            return refuse(lease, now);
        }
    }

    for (size_t i = 0; i < board_count; i++) {
        struct jmp_board *board = &boards[i];
        const char *name = board->exporter->name;

        if (lease->wanted && strcmp(lease->wanted, name) != 0)
            continue;
        if (!jmp_selector_matches(&selector, &board->exporter->labels))
            continue;
        matching++;
        if (!board->exporter->enabled && !lease->wanted)
            continue;
        usable++;
        if (!first)
            first = name;
        if (!board->online || !board->exporter->registered)
            continue;
        online++;
        if (!first_online)
            first_online = name;
        if (board->leased)
            continue;
        free_boards++;
        if (!first_free)
            first_free = name;
        if (is_idle(board) && !chosen)
            chosen = board;
    }

    if (matching == 0) {
        jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "NoAccess", now,
                                "no exporter matches the selector %s (0 matching exporters)", lease->selector);
        return refuse(lease, now);
    }
    if (usable == 0) {
        jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "AllDisabled", now, "all %zu matching exporters are disabled", matching);
        return refuse(lease, now);
    }
    if (online == 0)
        return wait_for(lease, "Offline", now, "no matching exporter is online", first, usable);
    if (free_boards == 0)
        return wait_for(lease, "NotAvailable", now, "all matching exporters are leased", first_online, online);
    if (!chosen)
        return wait_for(lease, "NotReady", now, "the matching exporter is not ready yet, it may still be cleaning up", first_free, free_boards);

    r = jmp_lease_assign(lease, chosen->exporter, now);
    if (r < 0)
        return r;
    chosen->leased = true;
    return 1;
}

int jmp_schedule_lease(struct jmp_lease *lease, struct jmp_board *boards, size_t board_count, int64_t now)
{
    struct jmp_board *board;
    int changed = 0;

    if (!lease->release && !lease->exporter) {
        if (lease->begin > now)
            return 0;
        changed = assign(lease, boards, board_count, now);
        if (changed < 0 || lease->ended)
            return changed;
    }

    if (lease->release)
        jmp_lease_finish(lease, JMP_LEASE_RELEASED, now);
    else if (lease->exporter && jmp_lease_expiry(lease) <= now)
        jmp_lease_finish(lease, JMP_LEASE_EXPIRED, now);
    else
        return changed;

    board = lease->exporter ? find(boards, board_count, lease->exporter) : NULL;
    if (board)
        board->leased = false;
    return 1;
}

int64_t jmp_schedule(struct jmp_lease *leases, bool *changed, size_t lease_count, struct jmp_board *boards, size_t board_count,
                     int64_t now)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < board_count; i++)
        boards[i].leased = false;
    for (size_t i = 0; i < lease_count; i++) {
        struct jmp_board *board = leases[i].exporter ? find(boards, board_count, leases[i].exporter) : NULL;

        if (board)
            board->leased = true;
        changed[i] = false;
    }

    /* Ends first, so that a board that comes free goes to the lease that has waited longest. */
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < lease_count; i++) {
            bool holds = leases[i].exporter || leases[i].release;
            int r;

            if (leases[i].ended || holds != (pass == 0))
                continue;
            r = jmp_schedule_lease(&leases[i], boards, board_count, now);
            if (r < 0)
                return r;
            changed[i] = changed[i] || r > 0;
        }
    }

    for (size_t i = 0; i < lease_count; i++) {
        int64_t when = leases[i].exporter ? jmp_lease_expiry(&leases[i]) : leases[i].begin;

        if (!leases[i].ended && when > now && when < next)
            next = when;
    }

    return next;
}
