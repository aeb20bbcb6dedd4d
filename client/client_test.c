/* SPDX-License-Identifier: Apache-2.0 */
/* The library against a lab in this process, over real sockets: what it does when all is well, and when it is not. */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/test.h"
#include "base/writer.h"
#include "client/lab_double_test.h"

static void lab_freep(struct lab **lab) { lab_free(*lab); }
#define LAB(name) _cleanup_(lab_freep) struct lab *name = lab_new()
#define STEPS(...) ((const enum lab_step[]){ __VA_ARGS__, LAB_SILENT })

static const struct jmp_lease_request request = { .selector = "board=x", .duration = 60000000, .begin = JMP_TIME_NONE };

static int acquire(struct lab *lab, const char *name, uint64_t timeout, struct jmp_acquisition **ret,
                   struct jmp_error *reterr)
{
    return jmp_acquire(lab->controller,
                       &(const struct jmp_acquire_options){ .name = name, .request = &request, .timeout = timeout },
                       ret, reterr);
}

JMP_TEST(a_lease_is_waited_for_and_released_once)
{
    LAB(lab);
    _cleanup_(jmp_acquisition_freep) struct jmp_acquisition *held = NULL;

    lab->steps = STEPS(LAB_PENDING, LAB_DOWN, LAB_PENDING, LAB_READY);
    assert_int_equal(acquire(lab, NULL, 10 * JMP_USEC_PER_SEC, &held, NULL), 0);
    assert_string_equal(jmp_acquisition_lease(held)->name, "the-lease");
    assert_string_equal(jmp_acquisition_lease(held)->exporter, "board-1");
    assert_string_equal(jmp_acquisition_lease(held)->client, "ann");
    assert_true(jmp_acquisition_is_own(held));
    assert_int_equal(lab->creates, 1);
    assert_int_equal(lab->gets, 4);
    assert_int_equal(jmp_acquisition_release(held, JMP_USEC_PER_SEC, NULL), 0);
    assert_int_equal(jmp_acquisition_release(held, JMP_USEC_PER_SEC, NULL), 0);
    assert_int_equal(lab->deletes, 1);
}

JMP_TEST(a_lease_that_will_not_come_is_an_error_and_is_deleted)
{
    static const struct {
        enum lab_step step;
        int r;
        const char *words;
    } cases[] = {
        { LAB_UNSATISFIABLE, -EBUSY, "no board has these labels" },
        { LAB_INVALID, -EBUSY, "the selector is empty" },
        { LAB_RELEASED, -EBUSY, "was released" },
        { LAB_PENDING, -ETIMEDOUT, "all boards are leased" },
        { LAB_DOWN, -ETIMEDOUT, "down for a moment" },
        { LAB_GONE, -EREMOTEIO, "not found" },
    };
    LAB(lab);

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct jmp_acquisition *held = NULL;
        struct jmp_error error = { 0 };

        lab->steps = (const enum lab_step[]){ cases[i].step, LAB_SILENT };
        assert_int_equal(acquire(lab, NULL, 120 * JMP_USEC_PER_MSEC, &held, &error), cases[i].r);
        assert_null(held);
        if (!strstr(error.text, cases[i].words))
            fail_msg("\"%s\" does not say \"%s\"", error.text, cases[i].words);
        assert_int_equal(lab->deletes, i + 1);
    }
}

JMP_TEST(a_lease_of_somebody_else_is_neither_used_nor_deleted)
{
    LAB(lab);
    struct jmp_acquisition *held = NULL;
    struct jmp_error error = { 0 };

    lab->owner = "namespaces/default/clients/bob";
    assert_int_equal(acquire(lab, "the-lease", JMP_USEC_PER_SEC, &held, &error), -EACCES);
    assert_non_null(strstr(error.text, "bob"));
    assert_int_equal(lab->creates + lab->deletes, 0);
}

JMP_TEST(a_lease_that_was_there_is_kept)
{
    LAB(lab);
    _cleanup_(jmp_acquisition_freep) struct jmp_acquisition *held = NULL;

    assert_int_equal(acquire(lab, "the-lease", JMP_USEC_PER_SEC, &held, NULL), 0);
    assert_false(jmp_acquisition_is_own(held));
    assert_int_equal(jmp_acquisition_release(held, JMP_USEC_PER_SEC, NULL), 0);
    assert_int_equal(lab->creates + lab->deletes, 0);
}

static void on_interrupt(struct jmp_timer *timer)
{
    struct lab *lab = CONTAINER_OF(timer, struct lab, timer);

    jmp_client_interrupt(lab->client);
}

JMP_TEST(waiting_is_interrupted_and_leaves_no_lease_behind)
{
    LAB(lab);
    struct jmp_acquisition *held = NULL;

    lab->steps = STEPS(LAB_PENDING);
    assert_int_equal(jmp_timer_start(jmp_client_loop(lab->client), &lab->timer, 30 * JMP_USEC_PER_MSEC, on_interrupt),
                     0);
    assert_int_equal(acquire(lab, NULL, JMP_USEC_INFINITY, &held, NULL), -ECANCELED);
    assert_int_equal(lab->deletes, 1);
    assert_true(jmp_client_interrupted(lab->client));
}

JMP_TEST(an_interrupted_creation_is_seen_to_its_end_so_that_it_can_be_undone)
{
    LAB(lab);
    struct jmp_acquisition *held = NULL;

    lab->hold_create = true;
    assert_int_equal(acquire(lab, NULL, JMP_USEC_INFINITY, &held, NULL), -ECANCELED);
    assert_int_equal(lab->creates, 1);
    assert_int_equal(lab->deletes, 1);
}

JMP_TEST(all_pages_of_a_list_are_read)
{
    LAB(lab);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_exporters exporters;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_controller_client_exporters(lab->controller, NULL, tree, &exporters, NULL), 0);
    assert_int_equal(exporters.count, 6);
    for (size_t i = 0; i < exporters.count; i++) {
        char name[32];

        snprintf(name, sizeof(name), "board-%zu", i);
        assert_string_equal(exporters.items[i].name, name);
        assert_string_equal(exporters.items[i].namespace_, "default");
        assert_true(exporters.items[i].enabled);
    }
    assert_int_equal(exporters.items[4].labels.count, 2);
    assert_string_equal(exporters.items[4].labels.items[0].key, "a");
}

JMP_TEST(a_page_is_read_by_itself_and_leads_to_the_next)
{
    LAB(lab);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_list_options options = { .one_page = true, .page_size = 2 };
    struct jmp_exporters page;
    unsigned pages = 0;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    do {
        char name[32];

        assert_int_equal(jmp_controller_client_exporters(lab->controller, &options, tree, &page, NULL), 0);
        assert_int_equal(page.count, 2);
        assert_int_equal(lab->page_size, 2);
        snprintf(name, sizeof(name), "board-%u", pages * 2);
        assert_string_equal(page.items[0].name, name);
        options.page_token = page.next;
        pages++;
    } while (*page.next);
    assert_int_equal(pages, 3);
    options.one_page = false;
    options.page_token = "2";
    assert_int_equal(jmp_controller_client_exporters(lab->controller, &options, tree, &page, NULL), 0);
    assert_int_equal(page.count, 2);
    assert_string_equal(page.items[0].name, "board-4");
}

JMP_TEST(a_new_token_is_handed_out_with_its_end)
{
    LAB(lab);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = { 0 };
    const char *token;
    int64_t expiry;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    lab->new_token = "fresh";
    assert_int_equal(jmp_controller_client_rotate(lab->controller, tree, &token, &expiry, NULL), 0);
    assert_string_equal(token, "fresh");
    assert_int_equal(expiry, INT64_C(1900000000) * 1000000);
    lab->new_token = "";
    assert_int_equal(jmp_controller_client_rotate(lab->controller, tree, &token, NULL, &error), -EBADMSG);
    assert_non_null(strstr(error.text, "no token"));
    lab->new_token = NULL;
    assert_int_equal(jmp_controller_client_rotate(lab->controller, tree, &token, NULL, &error), -EREMOTEIO);
    assert_string_equal(error.text, "failed to get credential secret: gone");
    assert_string_equal(token, "fresh");
}

/*
 * Dial and the tunnel
 */

struct way {
    struct jmp_dialer *dialer;
    struct jmp_session_client *session;
    char path[160], words[512];
    unsigned failures;
};

static void on_failed(const char *words, void *user)
{
    struct way *way = user;

    way->failures++;
    snprintf(way->words, sizeof(way->words), "%s", words);
}

static void way_open(struct lab *lab, struct way *way, uint64_t timeout)
{
    const struct jmp_dial_options options = {
        .lease = "the-lease", .timeout = timeout, .failed = on_failed, .user = way
    };

    assert_int_equal(jmp_dialer_new(lab->controller, &options, &way->dialer, NULL), 0);
    snprintf(way->path, sizeof(way->path), "%s/own", lab->directory);
    assert_int_equal(jmp_dialer_listen(way->dialer, way->path, NULL), 0);
    assert_int_equal(
        jmp_session_client_new(lab->client,
                               &(const struct jmp_session_options){ &(const struct jmp_path){ way->path }, 1, NULL },
                               &way->session, NULL),
        0);
}

static void way_close(struct way *way)
{
    jmp_session_client_free(way->session);
    jmp_dialer_free(way->dialer);
    assert_int_equal(access(way->path, F_OK), -1);
}

JMP_TEST(a_session_is_reached_through_controller_and_router)
{
    LAB(lab);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_driver_tree_freep) struct jmp_driver_tree *drivers = NULL;
    struct jmp_driver_ref *ref;
    struct way way = { 0 };
    unsigned used;

    lab->refused_dials = 2;
    lab->dial_code = JMP_FAILED_PRECONDITION;
    lab->dial_text = "exporter is not ready (status: Available)";
    way_open(lab, &way, 10 * JMP_USEC_PER_SEC);
    assert_int_equal(jmp_dialer_prepare(way.dialer, NULL), 0);
    assert_int_equal(lab->dials, 3);
    assert_int_equal(jmp_session_client_report(way.session, 10 * JMP_USEC_PER_SEC, &drivers, NULL), 0);
    assert_string_equal(drivers->motd, "be kind\n");
    assert_int_equal(jmp_driver_tree_find(drivers, (char *[]){ (char *)"power", NULL }, &ref, &used, NULL), 0);
    assert_string_equal(ref->uuid, LAB_POWER);
    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_session_client_call(way.session, ref->uuid, "on", NULL, tree, NULL, NULL), 0);
    /* The Dial that was made in advance is the first connection's: none is thrown away. */
    assert_int_equal(lab->dials, 3);
    assert_int_equal(lab->tunnels, 1);
    assert_int_equal(jmp_dialer_links(way.dialer), 1);
    way_close(&way);
}

JMP_TEST(a_dial_that_cannot_succeed_says_why)
{
    static const struct {
        enum jmp_code code;
        const char *text, *words;
        bool lost;
    } cases[] = {
        { JMP_UNKNOWN, "permission denied", "belongs to another client", true },
        { JMP_UNKNOWN, "lease not active", "is not active", true },
        { JMP_FAILED_PRECONDITION, "lease not active any more, exporter not ready for it", "is not active", true },
        { JMP_FAILED_PRECONDITION, "exporter beforeLease hook failed", "hook failed", false },
        { JMP_UNAVAILABLE, "exporter is not listening on lease", "cannot be reached", false },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        LAB(lab);
        struct jmp_error error = { 0 };
        struct way way = { 0 };

        lab->refused_dials = UINT32_MAX;
        lab->dial_code = cases[i].code;
        lab->dial_text = cases[i].text;
        way_open(lab, &way, 150 * JMP_USEC_PER_MSEC);
        assert_true(jmp_dialer_prepare(way.dialer, &error) < 0);
        if (!strstr(error.text, cases[i].words))
            fail_msg("\"%s\" does not say \"%s\"", error.text, cases[i].words);
        assert_int_equal(jmp_dialer_is_lost(way.dialer), cases[i].lost);
        assert_int_equal(jmp_dialer_links(way.dialer), 0);
        way_close(&way);
    }
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

JMP_TEST(a_program_that_leaves_while_we_dial_takes_its_dial_with_it)
{
    LAB(lab);
    struct way way = { 0 };
    bool never = false;
    int fd;

    lab->hold_dial = true;
    way_open(lab, &way, JMP_USEC_PER_SEC);
    fd = connect_to(way.path);
    while (lab->dials == 0)
        jmp_client_wait(lab->client, &never, 20 * JMP_USEC_PER_MSEC);
    assert_int_equal(jmp_dialer_links(way.dialer), 1);
    close(fd);
    assert_int_equal(jmp_client_wait(lab->client, &lab->held_cancelled, 5 * JMP_USEC_PER_SEC), 0);
    assert_int_equal(jmp_dialer_links(way.dialer), 0);
    way_close(&way);
}

JMP_TEST(a_dialer_may_go_while_everything_is_under_way)
{
    LAB(lab);
    struct way way = { 0 };
    bool never = false;
    int fds[5];

    lab->hold_dial = true;
    way_open(lab, &way, JMP_USEC_PER_SEC);
    for (size_t i = 0; i < ELEMENTSOF(fds); i++)
        fds[i] = connect_to(way.path);
    while (lab->dials < ELEMENTSOF(fds))
        jmp_client_wait(lab->client, &never, 20 * JMP_USEC_PER_MSEC);
    way_close(&way);
    for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
        char byte;

        assert_int_equal(read(fds[i], &byte, 1), 0);
        close(fds[i]);
    }
}

JMP_TEST(verdicts_of_a_dial)
{
    static const struct {
        struct jmp_status status;
        enum jmp_dial_verdict verdict;
    } cases[] = {
        { { JMP_UNAVAILABLE, "" }, JMP_DIAL_AGAIN },
        { { JMP_FAILED_PRECONDITION, "exporter is not ready (status: Available)" }, JMP_DIAL_AGAIN },
        { { JMP_FAILED_PRECONDITION, "exporter is offline" }, JMP_DIAL_FAILED },
        { { JMP_UNKNOWN, "Permission Denied" }, JMP_DIAL_LOST },
        { { JMP_PERMISSION_DENIED, "permission denied for client" }, JMP_DIAL_LOST },
        { { JMP_UNKNOWN, "no router available" }, JMP_DIAL_FAILED },
        { { JMP_RESOURCE_EXHAUSTED, "listener buffer full" }, JMP_DIAL_FAILED },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_int_equal(jmp_dial_judge(&cases[i].status), cases[i].verdict);
}

/*
 * The session, by its socket
 */

static struct jmp_session_client *session_of(struct lab *lab, const char *passphrase)
{
    struct jmp_session_client *session;

    assert_int_equal(jmp_session_client_new(
                         lab->client,
                         &(const struct jmp_session_options){ &(const struct jmp_path){ lab->socket }, 1, passphrase },
                         &session, NULL),
                     0);
    return session;
}

JMP_TEST(values_go_there_and_back)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    const struct jmp_node *args, *answer = NULL;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_writer_new(tree, &writer), 0);
    jmp_writer_begin_list(writer);
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "volts");
    jmp_writer_integer(writer, 5);
    jmp_writer_key(writer, "on");
    jmp_writer_bool(writer, true);
    jmp_writer_end_map(writer);
    jmp_writer_end_list(writer);
    assert_int_equal(jmp_writer_finish(writer, &args), 0);
    assert_int_equal(jmp_session_client_call(session, LAB_POWER, "set", args, tree, &answer, NULL), 0);
    assert_true(jmp_node_equal(args->first, answer));
}

JMP_TEST(a_refused_call_says_what_the_driver_says)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = { 0 };

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_session_client_call(session, LAB_POWER, "fail", NULL, tree, NULL, &error), -EINVAL);
    assert_string_equal(error.text, "the voltage is too high");
}

JMP_TEST(an_interrupted_call_is_cancelled_at_the_driver)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    assert_int_equal(jmp_timer_start(jmp_client_loop(lab->client), &lab->timer, 100 * JMP_USEC_PER_MSEC, on_interrupt),
                     0);
    assert_int_equal(jmp_session_client_call(session, LAB_POWER, "hang", NULL, tree, NULL, NULL), -ECANCELED);
    jmp_client_resume(lab->client);
    assert_int_equal(jmp_client_wait(lab->client, &lab->held_cancelled, 5 * JMP_USEC_PER_SEC), 0);
}

static int count_down(const struct jmp_node *item, void *user)
{
    unsigned *left = user;

    assert_int_equal(item->integer, *left);
    return --*left == 1 && item->integer == 2 && user == NULL ? -EIO : 0;
}

static int refuse_item(const struct jmp_node *item, void *user) { return -EPROTO; }

JMP_TEST(items_come_in_order_and_can_be_stopped)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    struct jmp_error error = { 0 };
    unsigned left = 3;

    assert_int_equal(jmp_session_client_items(session, LAB_POWER, "count", NULL, count_down, &left, NULL), 0);
    assert_int_equal(left, 0);
    assert_int_equal(jmp_session_client_items(session, LAB_POWER, "count", NULL, refuse_item, NULL, NULL), -EPROTO);
    assert_int_equal(jmp_session_client_items(session, LAB_POWER, "nothing", NULL, count_down, &left, &error), -ENOENT);
    assert_string_equal(error.text, "method nothing not found on driver");
}

JMP_TEST(the_passphrase_goes_with_every_call)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *right = session_of(lab, "open sesame");
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *wrong = session_of(lab, "open barley");
    struct jmp_session_status status;
    struct jmp_error error = { 0 };

    lab->passphrase = "open sesame";
    assert_int_equal(jmp_session_client_status(right, &status, NULL), 0);
    assert_int_equal(status.status, JMP_STATUS_LEASE_READY);
    assert_string_equal(status.message, "as told");
    assert_int_equal(jmp_session_client_status(wrong, &status, &error), -EKEYREJECTED);
    assert_non_null(strstr(error.text, "passphrase"));
    assert_null(strstr(error.text, "barley"));
}

JMP_TEST(a_session_ends_once)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);

    assert_int_equal(jmp_session_client_end(session, NULL), 1);
    assert_int_equal(jmp_session_client_end(session, NULL), 0);
}

struct lines {
    struct lab *lab;
    char text[128];
    unsigned count;
    bool both;
};

static void on_line(const struct jmp_log_line *line, void *user)
{
    struct lines *lines = user;

    snprintf(lines->text + strlen(lines->text), sizeof(lines->text) - strlen(lines->text), "%s %u %s;", line->severity,
             line->origin, line->message);
    lines->both = ++lines->count == 2;
    jmp_client_wake(lines->lab->client);
}

JMP_TEST(the_log_is_handed_over_while_it_lasts)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    struct lines lines = { .lab = lab };

    assert_int_equal(jmp_session_client_logs(session, on_line, &lines), 0);
    assert_int_equal(jmp_session_client_logs(session, on_line, &lines), -EALREADY);
    assert_int_equal(jmp_client_wait(lab->client, &lines.both, 5 * JMP_USEC_PER_SEC), 0);
    assert_string_equal(lines.text, "INFO 0 first;INFO 2 second;");
}

struct echo {
    struct lab *lab;
    bool closed;
    enum jmp_code code;
};

static void on_echo_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    struct echo *echo = user;

    echo->closed = true;
    echo->code = status->code;
    jmp_client_wake(echo->lab->client);
}

JMP_TEST(bytes_go_through_a_drivers_stream_and_its_end_too)
{
    static const struct jmp_pump_events events = { .closed = on_echo_closed };
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_pump_freep) struct jmp_pump *pump = NULL;
    struct echo echo = { .lab = lab };
    char back[64] = "";
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(jmp_session_client_open(session, LAB_ECHO, "connect", pair[1], &events, &echo, &pump, NULL), 0);
    assert_int_equal(write(pair[0], "there and back", 14), 14);
    assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
    assert_int_equal(jmp_client_wait(lab->client, &echo.closed, 5 * JMP_USEC_PER_SEC), 0);
    assert_int_equal(echo.code, JMP_OK);
    assert_int_equal(read(pair[0], back, sizeof(back)), 14);
    assert_string_equal(back, "there and back");
    assert_int_equal(read(pair[0], back, sizeof(back)), 0);
    close(pair[0]);
}

JMP_TEST(a_stream_that_never_ends_is_left_when_its_reader_has_gone)
{
    static const struct jmp_pump_events events = { .closed = on_echo_closed };
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_pump_freep) struct jmp_pump *pump = NULL;
    struct echo echo = { .lab = lab };
    int pair[2];

    lab->chatter = true;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(
        jmp_session_client_open(session, LAB_ECHO, "connect", pair[1], &events, &echo, &pump, NULL), 0);
    close(pair[0]);
    assert_int_equal(jmp_client_wait(lab->client, &lab->chatter_left, 15 * JMP_USEC_PER_SEC), 0);
    assert_int_equal(jmp_client_wait(lab->client, &echo.closed, 5 * JMP_USEC_PER_SEC), 0);
}

static int memory_file(const char *data, size_t length)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), length);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

JMP_TEST(a_file_reaches_the_exporter_whole)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_resource_client_freep) struct jmp_resource_client *resource = NULL;
    static char data[200000];
    _cleanup_close_ int fd = -EBADF;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 251);
    fd = memory_file(data, sizeof(data));
    assert_int_equal(jmp_resource_client_open(
                         session,
                         &(const struct jmp_resource_options){ .uuid = LAB_POWER, .encoding = "gzip", .fd = fd },
                         &resource, NULL),
                     0);
    assert_string_equal(jmp_node_string(jmp_node_get(jmp_resource_client_handle(resource), "uuid")), "u");
    assert_int_equal(jmp_resource_client_finish(resource, 5 * JMP_USEC_PER_SEC, NULL), 0);
    assert_true(lab->upload_ended);
    assert_int_equal(lab->uploaded_length, sizeof(data));
    assert_memory_equal(lab->uploaded, data, sizeof(data));
    assert_int_equal(jmp_resource_client_bytes(resource), sizeof(data));
}

JMP_TEST(a_pipe_whose_writer_takes_its_time_holds_up_nothing)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_resource_client_freep) struct jmp_resource_client *resource = NULL;
    _cleanup_close_pair_ int ends[2] = { -EBADF, -EBADF };

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(jmp_resource_client_open(session,
                                              &(const struct jmp_resource_options){ .uuid = LAB_POWER, .fd = ends[0] },
                                              &resource, NULL),
                     0);
    /* Nothing has been written: a wait ends by its time, which it could not while somebody reads. */
    assert_int_equal(jmp_client_pause(lab->client, JMP_USEC_PER_SEC / 10), 0);
    assert_int_equal(write(ends[1], "some", 4), 4);
    assert_int_equal(jmp_client_pause(lab->client, JMP_USEC_PER_SEC / 10), 0);
    assert_int_equal(write(ends[1], "thing", 5), 5);
    ends[1] = jmp_close(ends[1]);
    assert_int_equal(jmp_resource_client_finish(resource, 60 * JMP_USEC_PER_SEC, NULL), 0);
    assert_int_equal(lab->uploaded_length, 9);
    assert_memory_equal(lab->uploaded, "something", 9);
    assert_int_equal(jmp_resource_client_problem(resource, NULL), 0);
}

static void *read_all(void *data)
{
    int fd = *(int *)data;
    static char piece[5000];
    size_t at = 0;
    ssize_t n;

    while ((n = read(fd, piece, sizeof(piece))) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            if (piece[i] != lab_download_byte(at))
                return NULL;
    return (void *)at;
}

/* Into a pipe, of which the test has the other end. */
static void open_download(struct jmp_session_client *session, int ends[2], struct jmp_resource_client **ret)
{
    struct jmp_resource_options options = { .uuid = LAB_POWER, .direction = JMP_RESOURCE_DOWNLOAD };

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.fd = ends[1];
    assert_int_equal(jmp_resource_client_open(session, &options, ret, NULL), 0);
}

/* Somebody reads now: all of it comes. */
static void finish_read(const struct lab *lab, struct jmp_resource_client *resource, int ends[2])
{
    pthread_t reader;
    void *got;

    assert_int_equal(pthread_create(&reader, NULL, read_all, &ends[0]), 0);
    assert_int_equal(jmp_resource_client_finish(resource, 60 * JMP_USEC_PER_SEC, NULL), 0);
    ends[1] = jmp_close(ends[1]);
    assert_int_equal(pthread_join(reader, &got), 0);
    assert_int_equal((size_t)got, lab->download);
}

JMP_TEST(a_pipe_whose_reader_takes_its_time_holds_up_nothing)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_resource_client_freep) struct jmp_resource_client *resource = NULL;
    _cleanup_close_pair_ int ends[2] = { -EBADF, -EBADF };
    uint64_t begun = jmp_now();

    lab->download = 3 * 1024 * 1024 + 7;
    open_download(session, ends, &resource);
    /* Nobody reads: a wait ends by its time, or when it is interrupted, which it could not while somebody writes. */
    while (jmp_resource_client_bytes(resource) == 0 && jmp_now() - begun < 60 * JMP_USEC_PER_SEC)
        assert_int_equal(jmp_client_pause(lab->client, JMP_USEC_PER_SEC / 10), 0);
    assert_true(jmp_resource_client_bytes(resource) > 0);
    jmp_client_interrupt(lab->client);
    assert_int_equal(jmp_resource_client_finish(resource, 60 * JMP_USEC_PER_SEC, NULL), -ECANCELED);
    jmp_client_resume(lab->client);

    finish_read(lab, resource, ends);
    assert_int_equal(jmp_resource_client_bytes(resource), lab->download);
}

JMP_TEST(what_an_exporter_sent_before_its_end_reaches_a_late_reader)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_resource_client_freep) struct jmp_resource_client *resource = NULL;
    _cleanup_close_pair_ int ends[2] = { -EBADF, -EBADF };
    uint64_t begun = jmp_now();

    lab->download = 150000; /* three frames, of which a pipe takes the first */
    open_download(session, ends, &resource);
    while (lab->downloaded <= lab->download && jmp_now() - begun < 60 * JMP_USEC_PER_SEC)
        assert_int_equal(jmp_client_pause(lab->client, JMP_USEC_PER_SEC / 10), 0);
    assert_int_equal(jmp_client_pause(lab->client, JMP_USEC_PER_SEC / 10), 0);

    finish_read(lab, resource, ends);
}

JMP_TEST(a_pipe_whose_reader_has_gone_ends_the_transfer)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    _cleanup_(jmp_resource_client_freep) struct jmp_resource_client *resource = NULL;
    _cleanup_close_pair_ int ends[2] = { -EBADF, -EBADF };

    lab->download = 3 * 1024 * 1024;
    open_download(session, ends, &resource);
    assert_int_equal(jmp_client_pause(lab->client, JMP_USEC_PER_SEC / 10), 0);
    ends[0] = jmp_close(ends[0]);
    assert_int_equal(jmp_resource_client_finish(resource, 60 * JMP_USEC_PER_SEC, NULL), -EPIPE);
    assert_int_equal(jmp_resource_client_problem(resource, NULL), -EPIPE);
}

JMP_TEST(a_file_that_the_exporter_cannot_unpack_is_not_sent)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = session_of(lab, NULL);
    struct jmp_resource_client *resource = NULL;
    struct jmp_error error = { 0 };
    _cleanup_close_ int fd = memory_file("x", 1);

    lab->refuse_encoding = true;
    assert_int_equal(jmp_resource_client_open(
                         session,
                         &(const struct jmp_resource_options){ .uuid = LAB_POWER, .encoding = "zstd", .fd = fd },
                         &resource, &error),
                     -EOPNOTSUPP);
    assert_non_null(strstr(error.text, "zstd"));
    assert_null(resource);
}

JMP_TEST(an_exporter_that_is_not_there_is_said_to_be_unreachable)
{
    LAB(lab);
    _cleanup_(jmp_session_client_freep) struct jmp_session_client *session = NULL;
    struct jmp_driver_tree *tree = NULL;

    assert_int_equal(jmp_session_client_new(
                         lab->client,
                         &(const struct jmp_session_options){ &(const struct jmp_path){ "/none/there" }, 1, NULL },
                         &session, NULL),
                     0);
    assert_int_equal(jmp_session_client_report(session, JMP_USEC_PER_SEC, &tree, NULL), -ECONNREFUSED);
    assert_null(tree);
}
