// A bundle for tests, written against the C interface alone: a disk of 32 MiB in the driver's memory, with one bad habit
// if the controller's property "Habit" names one.

#include "CDextABI.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kBlocks = 65536, kBlockBytes = 512, kSuccess = 0, kError = (int)0xE00002BC };

static const nbdext_dext_host *host;
static uint8_t *disk;
static char habit[64];

struct nbdext_skin {
    nbdext_object *handle;
    const char *class_name;
    int is_ended;
};

// MARK: Blocks

struct nbdext_block {
    void (*run)(void *);
    void *argument;
};

static nbdext_block *block(void (*run)(void *), void *argument) {
    nbdext_block *made = malloc(sizeof *made);
    made->run = run;
    made->argument = argument;
    return made;
}
static void run_block(nbdext_block *it) { it->run(it->argument); }
static void end_block(nbdext_block *it) { free(it); }

// MARK: Objects


static nbdext_dext_class_kind class_kind(const char *name) {
    if (!strcmp(name, "TestDisk")) return NBDEXT_CLASS_CONTROLLER;
    return strcmp(name, "TestBootstrap") ? NBDEXT_CLASS_UNKNOWN : NBDEXT_CLASS_SERVICE;
}
static const char *why_abstract(const char *name) { return NULL; }
static const char *queue_name(const char *name, const char *method) {
    return !strcmp(habit, "queue-name") && !strcmp(method, "UserProcessParallelTask") ? "Mine" : NULL;
}
static nbdext_skin *make_skin(const char *name, nbdext_object *handle) {
    nbdext_skin *skin = calloc(1, sizeof *skin);
    skin->handle = handle;
    skin->class_name = strdup(name);
    return skin;
}
static void end_skin(nbdext_skin *skin) {
    nbdext_object *handle = skin->handle;
    free(skin);
    host->forget(handle);
}
static void release(nbdext_object *handle) {
    if (!host->release(handle)) return;
    nbdext_skin *skin = host->skin(handle);
    if (skin) end_skin(skin);
}
static nbdext_skin *new_skin(const char *name) { return make_skin(name, NULL); }

static void read_habit(void *context, const uint8_t *bytes, size_t count) {
    // A text: the letter, the length, the bytes.
    if (count > 5 && bytes[0] == 's' && count - 5 < sizeof habit) memcpy(habit, bytes + 5, count - 5);
}
static bool init(nbdext_skin *object) {
    host->search_property(object->handle, "Habit", "IOService", 0, read_habit, NULL);
    return strcmp(habit, "fail-init");
}

static void (*fired)(nbdext_u64, nbdext_u64);
static void fire_action(nbdext_skin *action, nbdext_u64 first, nbdext_u64 second) {
    if (fired) fired(first, second);
}

// MARK: Life

static nbdext_object *controller, *auxiliary, *other;

static nbdext_status start(nbdext_skin *service, nbdext_object *provider) {
    const nbdext_status status = host->service_start(service->handle, provider);
    if (status != kSuccess) return status;
    if (!strcmp(service->class_name, "TestBootstrap")) return host->register_service(service->handle);
    controller = service->handle;
    if (!strcmp(habit, "fail-start")) return kError;
    if (!strcmp(habit, "hang")) for (;;) sleep(1000);
    return kSuccess;
}
static nbdext_status stop(nbdext_skin *service, nbdext_object *provider) {
    return host->service_stop(service->handle, provider);
}
static nbdext_status set_power_state(nbdext_skin *service, uint32_t flags) {
    return host->acknowledge_power_state(service->handle, flags);
}
static nbdext_status new_user_client(nbdext_skin *service, uint32_t type, nbdext_object **client) { return kError; }

// MARK: Constraints, as encoded bytes

static size_t put32(uint8_t *out, uint32_t value) { memcpy(out, &value, 4); return 4; }
static size_t put_number(uint8_t *out, const char *key, nbdext_u64 value) {
    size_t at = put32(out, strlen(key));
    memcpy(out + at, key, strlen(key));
    at += strlen(key);
    out[at++] = 'n';
    memcpy(out + at, &value, 8);
    return at + 8;
}
static nbdext_status report_constraints(void) {
    uint8_t bytes[1024];
    size_t at = 0;
    bytes[at++] = 'd';
    at += put32(bytes + at, 7);
    at += put_number(bytes + at, "IOMaximumSegmentCountRead", 128);
    at += put_number(bytes + at, "IOMaximumSegmentCountWrite", 128);
    at += put_number(bytes + at, "IOMaximumSegmentByteCountRead", 65536);
    at += put_number(bytes + at, "IOMaximumSegmentByteCountWrite", 65536);
    at += put_number(bytes + at, "IOMinimumSegmentAlignmentByteCount", 4);
    at += put_number(bytes + at, "IOMaximumSegmentAddressableBitCount", 64);
    at += put_number(bytes + at, "HBA Data Alignment", UINT64_MAX);
    return host->report_hba_constraints(controller, bytes, at);
}

static nbdext_object *create_queue(const char *name, nbdext_u64 options) {
    nbdext_object *queue = NULL;
    nbdext_skin *skin = new_skin("IODispatchQueue");
    if (host->queue_create(name, options, 0, skin, &queue) != kSuccess) abort();
    skin->handle = queue;
    return queue;
}

static nbdext_status initialize_controller(nbdext_skin *skin) {
    disk = calloc(kBlocks, kBlockBytes);
    if (!strcmp(habit, "large-memory")) {
        // More than any card may be given: it is the process's own.
        nbdext_object *memory = NULL;
        nbdext_skin *large = new_skin("IOBufferMemoryDescriptor");
        nbdext_segment range;
        if (host->memory_create(3, 256 << 20, 0, large, &memory) != kSuccess) return kError;
        large->handle = memory;
        host->memory_range(memory, &range);
        if (range.length != 256 << 20) return kError;
        memset((void *)range.address, 7, 1 << 20);
        release(memory);
    }
    auxiliary = create_queue("AuxiliaryQueue", 0);
    other = create_queue("Other", 1);
    if (strcmp(habit, "no-auxiliary-queue")) host->set_queue(controller, "AuxiliaryQueue", auxiliary);
    return report_constraints();
}

static void create_target(void *argument) {
    const uint8_t none[] = {'d', 0, 0, 0, 0};
    host->create_target(controller, 0, none, sizeof none);
}
static void wait_for_auxiliary(void *argument) { host->queue_sync(auxiliary, NULL, block(create_target, NULL)); }
// Each queue waits for the other.
static void cross(void *argument) { wait_for_auxiliary(NULL); }
static void cross_other(void *argument) { host->queue_sync(other, NULL, block(cross, NULL)); }

static void over_release(void *argument) {
    nbdext_object *object = create_queue("Short", 0);
    host->retain(object);
    host->release(object);
    host->release(object);
    host->release(object);
}

// A sleeper on a reentrant queue, and the block that wakes it there.
static int event;
static void wake(void *argument) { host->queue_wakeup(other, &event, false); }
static void sleep_and_create(void *argument) {
    host->queue_async(other, NULL, block(wake, NULL));
    const nbdext_status status = host->queue_sleep(other, &event, UINT64_MAX);
    char line[64];
    snprintf(line, sizeof line, "slept: %x, on queue: %d", status, host->queue_is_current(other));
    host->log(NBDEXT_LOG_DEFAULT, line);
    host->queue_async(auxiliary, NULL, block(create_target, NULL));
}

static void tick(nbdext_u64 first, nbdext_u64 second) {
    host->log(NBDEXT_LOG_DEFAULT, host->queue_is_current(other) ? "tick on the queue" : "tick elsewhere");
    host->queue_async(auxiliary, NULL, block(create_target, NULL));
}
static void start_timer(void) {
    nbdext_object *source = NULL;
    nbdext_skin *skin = new_skin("IOTimerDispatchSource"), *action = new_skin("OSAction");
    host->timer_source_create(other, skin, &source);
    skin->handle = source;
    action->handle = host->make_action(action, "Tick", controller);
    fired = tick;
    host->source_set_action(source, action->handle);
    host->timer_wake(source, host->now() + 5000000, 0);
}

static nbdext_status start_controller(nbdext_skin *skin) {
    if (!strcmp(habit, "create-on-default")) {
        create_target(NULL);
        return kSuccess;
    }
    if (!strcmp(habit, "over-release")) over_release(NULL);
    if (!strcmp(habit, "crash")) *(volatile int *)8 = 1;
    // No page table could map it, so the processor does not tell the address.
    if (!strcmp(habit, "crash-far-away")) *(volatile int *)(1ull << 50) = 1;
    if (!strcmp(habit, "killed")) raise(SIGSEGV);
    if (!strcmp(habit, "cross")) {
        host->queue_async(auxiliary, "Crossing", block(cross_other, NULL));
        return kSuccess;
    }
    if (!strcmp(habit, "sleep")) {
        host->queue_async(other, NULL, block(sleep_and_create, NULL));
    } else if (!strcmp(habit, "timer")) {
        start_timer();
    } else {
        host->queue_async(auxiliary, NULL, block(create_target, NULL));
    }
    return kSuccess;
}

// MARK: Questions

static nbdext_status give64(nbdext_skin *skin, nbdext_u64 *value) { return *value = 6, kSuccess; }
static nbdext_status initiator(nbdext_skin *skin, nbdext_u64 *value) { return *value = 7, kSuccess; }
static nbdext_status task_count(nbdext_skin *skin, uint32_t *value) { return *value = 32, kSuccess; }
static nbdext_status unit_count(nbdext_skin *skin, nbdext_u64 *value) { return *value = 0, kSuccess; }
static nbdext_status yes(nbdext_skin *skin, bool *value) { return *value = true, kSuccess; }
static nbdext_status no(nbdext_skin *skin, bool *value) { return *value = false, kSuccess; }
static nbdext_status feature(nbdext_skin *skin, uint32_t it, bool *value) { return *value = false, kSuccess; }
static nbdext_status dma(nbdext_skin *skin, nbdext_u64 *size, uint32_t *alignment, uint8_t *bits, uint16_t *type) {
    *size = 128 * 65536;
    *alignment = 4;
    *bits = 64;
    *type = 3;
    return kSuccess;
}
static nbdext_status map_data(nbdext_skin *skin, uint32_t *id) {
    static uint32_t last;
    return *id = ++last, kSuccess;
}
static nbdext_status initialize_target(nbdext_skin *skin, nbdext_u64 target) { return target == 0 ? kSuccess : kError; }
static nbdext_status map_buffers(nbdext_skin *skin, nbdext_object *commands, nbdext_object *responses) {
    return kError;
}

// MARK: Tasks

/// The task's data: reads or writes `count` bytes at most. Returns how many.
static nbdext_u64 move_data(const SCSIUserParallelTask *task, uint8_t *bytes, nbdext_u64 count, int writes_disk) {
    if (!task->fRequestedTransferCount) return 0;
    nbdext_object *buffer = NULL;
    if (host->data_buffer(controller, task->fTargetID, task->fControllerTaskIdentifier, &buffer) != kSuccess) return 0;
    if (!host->skin(buffer)) host->set_skin(buffer, make_skin("IOBufferMemoryDescriptor", buffer));
    nbdext_segment range;
    host->memory_range(buffer, &range);
    if (count > range.length) count = range.length;
    if (writes_disk) memcpy(bytes, (void *)range.address, count);
    else memcpy((void *)range.address, bytes, count);
    release(buffer);
    return count;
}

static void refuse(SCSIUserParallelResponse *response, uint8_t code) {
    response->fCompletionStatus = 2;
    response->fSenseLength = 18;
    response->fSenseBuffer[0] = 0x70;
    response->fSenseBuffer[2] = 5;
    response->fSenseBuffer[7] = 10;
    response->fSenseBuffer[12] = code;
}

static void put_big(uint8_t *out, nbdext_u64 value, int count) {
    for (int i = 0; i < count; i++) out[i] = value >> (count - 1 - i) * 8;
}
static nbdext_u64 get_big(const uint8_t *in, int count) {
    nbdext_u64 value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | in[i];
    return value;
}

static void execute(const SCSIUserParallelTask *task, SCSIUserParallelResponse *response) {
    const uint8_t *cdb = task->fCommandDescriptorBlock;
    uint8_t bytes[96] = {0};
    nbdext_u64 count = 0, lba = 0, blocks = 0;
    switch (cdb[0]) {
    case 0x00: case 0x35: return;
    case 0x12:
        if (cdb[1] & 1) return refuse(response, 0x24);
        bytes[2] = 6;
        bytes[3] = 2;
        bytes[4] = 31;
        memcpy(bytes + 8, "TESTS   C bundle        1.0 ", 28);
        count = 36;
        break;
    case 0x25:
        put_big(bytes, kBlocks - 1, 4);
        put_big(bytes + 4, kBlockBytes, 4);
        count = 8;
        break;
    case 0xA0:
        put_big(bytes, 8, 4);
        count = 16;
        break;
    case 0x28: case 0x2A:
        lba = get_big(cdb + 2, 4);
        blocks = get_big(cdb + 7, 2);
        if (lba + blocks > kBlocks) return refuse(response, 0x21);
        response->fBytesTransferred =
            move_data(task, disk + lba * kBlockBytes, blocks * kBlockBytes, cdb[0] == 0x2A);
        return;
    default: return refuse(response, 0x20);
    }
    response->fBytesTransferred = move_data(task, bytes, count, 0);
}

struct late {
    nbdext_object *action;
    SCSIUserParallelResponse response;
};
static void *complete_late(void *argument) {
    struct late *late = argument;
    usleep(2000);
    host->parallel_task_completion(controller, late->action, &late->response);
    if (!strcmp(habit, "foreign-thread")) release(late->action);
    free(late);
    return NULL;
}

static nbdext_status process(
    nbdext_skin *skin, const SCSIUserParallelTask *task, uint32_t *answer, nbdext_skin *completion) {
    SCSIUserParallelResponse response = {
        .version = 1, .fTargetID = task->fTargetID, .fControllerTaskIdentifier = task->fControllerTaskIdentifier,
        .fServiceResponse = 2};
    execute(task, &response);
    *answer = 0;
    const int is_read = task->fCommandDescriptorBlock[0] == 0x28;
    if (is_read && !strcmp(habit, "wrong-call")) {
        const uint16_t slot = 0;
        host->bundled_parallel_task_completion(controller, completion->handle, &slot, 1);
    }
    if (is_read && !strcmp(habit, "action-over-release")) host->release(completion->handle);
    if (is_read && (!strcmp(habit, "missing-retain") || !strcmp(habit, "foreign-thread"))) {
        struct late *late = malloc(sizeof *late);
        late->action = completion->handle;
        late->response = response;
        if (!strcmp(habit, "foreign-thread")) host->retain(completion->handle);
        pthread_t thread;
        pthread_create(&thread, NULL, complete_late, late);
        pthread_detach(thread);
        return kSuccess;
    }
    host->parallel_task_completion(controller, completion->handle, &response);
    return kSuccess;
}
static void process_bundle(nbdext_skin *skin, const uint16_t *indices, uint16_t count, nbdext_skin *completion) {}

static nbdext_status abort_task(nbdext_skin *s, nbdext_u64 t, nbdext_u64 u, nbdext_u64 q, uint32_t *r) {
    return *r = 4, kSuccess;
}
static nbdext_status unit_function(nbdext_skin *s, nbdext_u64 t, nbdext_u64 u, uint32_t *r) { return *r = 4, kSuccess; }
static nbdext_status target_function(nbdext_skin *s, nbdext_u64 t, uint32_t *r) { return *r = 4, kSuccess; }

static const nbdext_dext_driver driver = {
    .version = NBDEXT_DEXT_ABI_VERSION TEST_VERSION_OFFSET, .size = sizeof(nbdext_dext_driver),
    .class_kind = class_kind, .why_abstract = why_abstract, .queue_name = queue_name, .make_skin = make_skin,
    .end_skin = end_skin, .init = init, .run_block = run_block, .end_block = end_block, .fire_action = fire_action,
    .start = start, .stop = stop, .set_power_state = set_power_state, .new_user_client = new_user_client,
    .initialize_controller = initialize_controller, .start_controller = start_controller,
    .report_initiator_identifier = initiator, .report_highest_supported_device_id = give64,
    .report_maximum_task_count = task_count, .report_hba_highest_logical_unit_number = unit_count,
    .does_hba_perform_auto_sense = yes, .does_hba_perform_device_management = yes,
    .does_hba_support_multi_pathing = no, .does_hba_support_scsi_parallel_feature = feature,
    .get_dma_specification = dma, .map_hba_data = map_data, .initialize_target = initialize_target,
    .map_bundled_buffers = map_buffers, .process_parallel_task = process,
    .process_bundled_parallel_tasks = process_bundle, .abort_task = abort_task, .abort_task_set = unit_function,
    .clear_aca = unit_function, .clear_task_set = unit_function, .logical_unit_reset = unit_function,
    .target_reset = target_function,
};

const nbdext_dext_driver *nbdext_dext_open(const nbdext_dext_host *the_host) {
    host = the_host;
    return host->version == NBDEXT_DEXT_ABI_VERSION && host->size >= sizeof(nbdext_dext_host) ? &driver : NULL;
}
