/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/monitor.h"

#include "base/test.h"
#include "kube/collect.h"

#define SEC JMP_USEC_PER_SEC

JMP_TEST(a_heartbeat_that_stops_is_stale_after_its_grace_and_told_once)
{
    struct jmp_liveness liveness = { 0 };
    uint64_t now = 1000 * SEC;
    unsigned news = 0;

    for (unsigned i = 0; i < 6; i++, now += 10 * SEC) {
        jmp_liveness_see(&liveness, now, (int64_t)i);
        news += jmp_liveness_judge(&liveness, now);
        assert_true(liveness.live);
    }
    assert_int_equal(news, 1);
    now -= 10 * SEC;
    assert_false(jmp_liveness_judge(&liveness, now + JMP_MONITOR_GRACE));
    assert_true(jmp_liveness_judge(&liveness, now + JMP_MONITOR_GRACE + 1));
    assert_false(liveness.live);
    assert_false(jmp_liveness_judge(&liveness, now + 2 * JMP_MONITOR_GRACE));
}

JMP_TEST(one_never_seen_to_change_has_a_longer_grace)
{
    struct jmp_liveness liveness = { 0 };

    jmp_liveness_see(&liveness, SEC, 5);
    jmp_liveness_see(&liveness, 40 * SEC, 5);
    jmp_liveness_judge(&liveness, SEC + JMP_MONITOR_FIRST_GRACE);
    assert_true(liveness.live);
    jmp_liveness_judge(&liveness, SEC + JMP_MONITOR_FIRST_GRACE + 1);
    assert_false(liveness.live);
}

JMP_TEST(clocks_of_others_do_not_count)
{
    static const int64_t renewals[] = { 100, 3700 * (int64_t)SEC, -3700 * (int64_t)SEC, 100 };
    struct jmp_liveness liveness = { 0 };
    uint64_t now = SEC;

    for (size_t i = 0; i < ELEMENTSOF(renewals); i++, now += 40 * SEC) {
        jmp_liveness_see(&liveness, now, renewals[i]);
        jmp_liveness_judge(&liveness, now + 39 * SEC);
        assert_true(liveness.live);
    }
}

JMP_TEST(an_identity_expires_with_its_duration)
{
    static const struct {
        const char *text;
        bool expired;
    } rows[] = {
        { "{\"spec\":{\"renewTime\":\"1970-01-01T00:00:00.000000Z\",\"leaseDurationSeconds\":3600}}", true },
        { "{\"spec\":{\"renewTime\":\"1970-01-01T00:00:02.000000Z\",\"leaseDurationSeconds\":3600}}", false },
        { "{\"spec\":{\"leaseDurationSeconds\":3600}}", true },
        { "{\"spec\":{\"renewTime\":\"1970-01-01T00:00:02.000000Z\"}}", true },
        { "{}", true },
        { "{\"spec\":{\"renewTime\":7}}", false },   /* what cannot be read is not ours to delete */
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        json_t *lease = json_loads(rows[i].text, 0, NULL);

        assert_int_equal(jmp_kube_is_expired(lease, 3601 * (int64_t)SEC), rows[i].expired);
        json_decref(lease);
    }
}
