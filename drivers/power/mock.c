/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A power switch that switches nothing. Its log lines and its two readings are those of the stock mocks, because the
 * test suites of clients expect exactly them (docs/drivers.md, "power-mock").
 */
#include "base/log.h"
#include "drivers/families.h"

static int mock_on(void *self, struct jmp_call *call)
{
    jmp_call_log(call, JMP_LOG_INFO, "power on");
    return 0;
}

static int mock_off(void *self, struct jmp_call *call)
{
    jmp_call_log(call, JMP_LOG_INFO, "power off");
    return 0;
}

static int mock_read(void *self, struct jmp_call *call)
{
    static const struct { double voltage, current; } readings[] = { { 0.0, 0.0 }, { 5.0, 2.0 } };

    for (size_t i = 0; i < ELEMENTSOF(readings); i++) {
        struct jmp_writer *reply = jmp_call_reply(call);
        int r;

        jmp_writer_begin_map(reply);
        jmp_writer_key(reply, "voltage");
        jmp_writer_number(reply, readings[i].voltage);
        jmp_writer_key(reply, "current");
        jmp_writer_number(reply, readings[i].current);
        jmp_writer_end_map(reply);

        r = jmp_call_emit(call);
        if (r < 0)
            return r;
    }

    return 0;
}

static const struct jmp_method mock_methods[] = {
    { .name = "on", .call = mock_on, .quick = true },
    { .name = "off", .call = mock_off, .quick = true },
    { .name = "read", .items = mock_read, .quick = true },
    {}
};

const struct jmp_driver_class jmp_power_mock_class = {
    JMP_DRIVER_HEAD, .name = "power-mock", .kind = "power",
    .python_type = "jumpstarter_driver_power.driver.MockPower",
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "a power switch for tests: logs what it is told and reads 0 V, then 5 V",
    .methods = mock_methods,
};

const struct jmp_driver_class jmp_power_mock_sync_class = {
    JMP_DRIVER_HEAD, .name = "power-mock-sync", .kind = "power",
    .python_type = "jumpstarter_driver_power.driver.SyncMockPower",
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "the same as power-mock, under its other stock name",
    .methods = mock_methods,
};
