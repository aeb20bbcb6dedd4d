/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"

static const struct jmp_driver_class *const mocks[] = { &jmp_power_mock_class, &jmp_power_mock_sync_class };

JMP_TEST(power_mock_logs_what_it_is_told)
{
    for (size_t i = 0; i < ELEMENTSOF(mocks); i++) {
        _cleanup_(device_freep) struct device *device = device_new(mocks[i], NULL);

        assert_int_equal(device_open(device), 0);
        assert_int_equal(device_call(device, "on", NULL), 0);
        assert_true(jmp_node_is_null(device_result(device)));
        assert_int_equal(device_call(device, "off", NULL), 0);
        assert_string_equal(device_log(device), "power on\npower off\n");
    }
}

JMP_TEST(power_mock_reads_what_stock_reads)
{
    for (size_t i = 0; i < ELEMENTSOF(mocks); i++) {
        _cleanup_(device_freep) struct device *device = device_new(mocks[i], NULL);
        _cleanup_free_ char *text = NULL;

        assert_int_equal(device_call(device, "read", NULL), 0);
        assert_int_equal(jmp_json_print(device_result(device), 0, &text), 0);
        assert_string_equal(text, "[{\"voltage\":0,\"current\":0},{\"voltage\":5,\"current\":2}]");
    }
}
