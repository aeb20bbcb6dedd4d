/* SPDX-License-Identifier: Apache-2.0 */
/* Is this SIGTERM the end, or half of "systemctl restart"? The signal does not say; the unit's job does. */
#include <string.h>
#include <systemd/sd-bus.h>

#include "agent/life.h"

#define MANAGER "org.freedesktop.systemd1"
#define CALL_LIMIT (2 * JMP_USEC_PER_SEC)   /* to take a restart for a stop costs somebody a lease */

/* A bus that hangs must not hold up a stop. */
static int wait_ready(sd_bus *bus)
{
    uint64_t deadline = jmp_now() + CALL_LIMIT;
    int r;

    while (sd_bus_is_ready(bus) == 0) {
        if (jmp_now() >= deadline)
            return -ETIMEDOUT;
        r = sd_bus_process(bus, NULL);
        if (r == 0)
            r = sd_bus_wait(bus, CALL_LIMIT);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The bus of the manager that runs us, and our unit there. */
static int find_unit(sd_bus **ret, char **retpath)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *path;
    int r;

    r = getenv("MANAGERPID") ? sd_bus_open_user(ret) : sd_bus_open_system(ret);
    if (r < 0)
        return r;
    sd_bus_set_method_call_timeout(*ret, CALL_LIMIT);
    r = wait_ready(*ret);
    if (r < 0)
        return r;
    r = sd_bus_call_method(*ret, MANAGER, "/org/freedesktop/systemd1", MANAGER ".Manager", "GetUnitByPID", NULL, &reply,
                           "u", (uint32_t)getpid());
    if (r >= 0)
        r = sd_bus_message_read(reply, "o", &path);
    if (r < 0)
        return r;
    *retpath = strdup(path);
    return *retpath ? 0 : -ENOMEM;
}

static int ask(sd_bus *bus, const char *unit, char **ret)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *job;
    uint32_t id;
    int r;

    r = sd_bus_get_property(bus, MANAGER, unit, MANAGER ".Unit", "Job", NULL, &reply, "(uo)");
    if (r >= 0)
        r = sd_bus_message_read(reply, "(uo)", &id, &job);
    if (r < 0)
        return r;
    if (id == 0)
        return -ENOENT;
    return sd_bus_get_property_string(bus, MANAGER, job, MANAGER ".Job", "JobType", NULL, ret);
}

bool agent_is_restarted(void)
{
    _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
    _cleanup_free_ char *unit = NULL, *type = NULL;
    int r;

    if (!getenv("INVOCATION_ID"))
        return false;
    r = find_unit(&bus, &unit);
    if (r >= 0)
        r = ask(bus, unit, &type);
    if (r < 0 && r != -ENOENT)
        jmp_log(JMP_LOG_WARNING, FIELDS(.error = r), "the service manager does not say why it stops us: %m");
    return r >= 0 && (strcmp(type, "restart") == 0 || strcmp(type, "try-restart") == 0);
}
