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

static int wait_for(struct jmp_lease *lease, const char *reason, int64_t now, const char *what, const char *first,
                    size_t count)
{
    if (says(lease, JMP_PENDING, reason))
        return 0;

    jmp_lease_set_condition(lease, JMP_PENDING, true, reason, now, "%s (%zu matching, the first is %s)", what, count,
                            first);
    return 1;
}

/* Nobody lets this client in: say so, and which rules there are for others. */
static int refuse_access(struct jmp_lease *lease, size_t matching, const struct jmp_rules *rules, const bool *matched,
                         int64_t now)
{
    char reasons[sizeof(lease->conditions[0].message) / 2] = "";
    size_t length = 0;

    if (matching == 0) {
        jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "NoAccess", now,
                                "no exporter matches the selector %s (0 matching exporters)", lease->selector);
        return refuse(lease, now);
    }
    for (size_t i = 0; i < rules->access_count && length < sizeof(reasons); i++)
        if (!matched[i] && rules->access[i].description[0])
            length += (size_t)snprintf(reasons + length, sizeof(reasons) - length, "%s%s", length ? "; " : ": ",
                                       rules->access[i].description);
    jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "NoAccess", now,
                            "no access rule lets %s lease one of the %zu matching exporters%s", lease->client, matching,
                            reasons);
    return refuse(lease, now);
}

/* Is board @a the better one? Free before leased, one's own before spot, then by priority; equal ones stay in order of
 * their names. */
static bool is_better(const struct jmp_board *a, const struct jmp_access *access_a, const struct jmp_board *b,
                      const struct jmp_access *access_b)
{
    if (a->leased != b->leased)
        return !a->leased;
    if (access_a->spot != access_b->spot)
        return !access_a->spot;
    return access_a->priority > access_b->priority;
}

/* What there is for one lease, and the first of each kind for the words of a condition. */
struct supply {
    size_t matching, usable, approved, online, free_boards;
    const char *first, *first_online, *first_free;
    struct jmp_board *best, *chosen;
    struct jmp_access best_access, chosen_access;
};

static void weigh(struct supply *supply, struct jmp_board *board, const struct jmp_lease *lease,
                  const struct jmp_rules *rules, bool *matched)
{
    const char *name = board->exporter->name;
    struct jmp_access access;

    supply->matching++;
    if (!board->exporter->enabled && !lease->wanted)
        return;
    supply->usable++;
    access = jmp_rules_judge(rules, &lease->holder, &board->exporter->labels, lease->duration, matched);
    if (!access.approved)
        return;
    if (supply->approved++ == 0)
        supply->first = name;
    if (!board->online || !board->exporter->registered)
        return;
    if (supply->online++ == 0)
        supply->first_online = name;
    if (!supply->best || is_better(board, &access, supply->best, &supply->best_access)) {
        supply->best = board;
        supply->best_access = access;
    }
    if (board->leased)
        return;
    if (supply->free_boards++ == 0)
        supply->first_free = name;
    if (is_idle(board) && (!supply->chosen || is_better(board, &access, supply->chosen, &supply->chosen_access))) {
        supply->chosen = board;
        supply->chosen_access = access;
    }
}

/* A lease for one exporter by its name. Return: 0, or 1: it was refused. */
static int check_wanted(struct jmp_lease *lease, const struct jmp_selector *selector, const struct jmp_board *board,
                        int64_t now)
{
    if (!board)
        jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "ExporterNotFound", now, "exporter %s does not exist",
                                lease->wanted);
    else if (!jmp_selector_matches(selector, &board->exporter->labels))
        jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "SelectorMismatch", now,
                                "exporter %s does not match the selector %s", lease->wanted, lease->selector);
    else if (!board->exporter->enabled && !lease->allow_disabled)
        jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "ExporterDisabled", now,
                                "exporter %s is disabled; allowDisabled (--allow-disabled) leases it all the same",
                                lease->wanted);
    else
        return 0;

    return refuse(lease, now);
}

static int assign(struct jmp_lease *lease, struct jmp_board *boards, size_t board_count, const struct jmp_rules *rules,
                  int64_t now)
{
    _cleanup_(jmp_selector_clear) struct jmp_selector selector = { 0 };
    bool matched[JMP_RULES_MAX] = { false };
    struct supply supply = { 0 };
    int r;

    r = jmp_selector_parse(&selector, lease->selector, NULL);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || (selector.count == 0 && !lease->wanted)) {
        jmp_lease_set_condition(lease, JMP_INVALID, true, "InvalidSelector", now,
                                "the selector of the lease must not be empty and must be well-formed");
        return refuse(lease, now);
    }
    if (lease->wanted && check_wanted(lease, &selector, find(boards, board_count, lease->wanted), now))
        return 1;

    for (size_t i = 0; i < board_count; i++)
        if ((!lease->wanted || strcmp(lease->wanted, boards[i].exporter->name) == 0) &&
            jmp_selector_matches(&selector, &boards[i].exporter->labels))
            weigh(&supply, &boards[i], lease, rules, matched);

    if (supply.matching > 0 && supply.usable == 0) {
        jmp_lease_set_condition(lease, JMP_UNSATISFIABLE, true, "AllDisabled", now,
                                "all %zu matching exporters are disabled", supply.matching);
        return refuse(lease, now);
    }
    if (supply.approved == 0)
        return refuse_access(lease, supply.usable, rules, matched, now);
    if (supply.online == 0)
        return wait_for(lease, "Offline", now, "no matching exporter is online", supply.first, supply.approved);
    if (supply.best_access.spot) {
        jmp_lease_set_condition(
            lease, JMP_UNSATISFIABLE, true, "SpotAccess", now,
            "exporter %s, the best of %zu, is open to %s for spot use only, which is not offered yet",
            supply.best->exporter->name, supply.online, lease->client);
        return refuse(lease, now);
    }
    if (supply.free_boards == 0)
        return wait_for(lease, "NotAvailable", now, "all matching exporters are leased", supply.first_online,
                        supply.online);
    if (!supply.chosen)
        return wait_for(lease, "NotReady", now, "the matching exporter is not ready yet, it may still be cleaning up",
                        supply.first_free, supply.free_boards);

    r = jmp_lease_assign(lease, supply.chosen->exporter, now);
    if (r < 0)
        return r;
    supply.chosen->leased = true;
    return 1;
}

int jmp_schedule_lease(struct jmp_lease *lease, struct jmp_board *boards, size_t board_count,
                       const struct jmp_rules *rules, int64_t now)
{
    struct jmp_board *board;
    int changed = 0;

    if (!lease->release && !lease->exporter) {
        if (lease->begin > now)
            return 0;
        changed = assign(lease, boards, board_count, rules, now);
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

int64_t jmp_schedule(struct jmp_lease *leases, bool *changed, size_t lease_count, struct jmp_board *boards,
                     size_t board_count, const struct jmp_rules *rules, int64_t now)
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
            r = jmp_schedule_lease(&leases[i], boards, board_count, rules, now);
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
