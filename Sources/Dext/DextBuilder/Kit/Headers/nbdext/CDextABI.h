// The C interface between a host, which has the kernel's side of a driver (Swift), and a bundle, a driver that was
// written in C++ for macOS. Each side gives the other a structure of function pointers.
//
// Words
//   handle   nbdext_object *: an object of the host, which has the reference count, the queue's turns, the memory.
//   skin     nbdext_skin *: the C++ object by which a driver sees a handle. A handle has at most one, and knows it.
//   service  the handle of an IOService: of the driver, of its provider (the card), or of a nub.
//
// References
//   Each handle has one count, the host's. C++ retain() and release() change it and nothing else. "with a reference"
//   says that the receiver of a handle has one more and has to release it; "borrowed" says that it has not.
//   Who takes the last reference ends the skin:
//   - `release` returns true: the bundle runs free(), deletes the skin, and calls `forget`.
//   - the host's own last reference goes: the host calls `end_skin`, which does the same.
//   The host keeps a handle's memory until `forget`. A handle that has no skin is the host's own to free.
//
// Threads
//   Host functions may be called on any thread that runs the driver's code, its own included. The host calls a driver's
//   methods on the queue that they belong to, as macOS does; the bundle adds no queue and no thread.
//
// Results are kern_return_t (IOReturn) values. Times are nanoseconds of `now`, unless their names say otherwise. Texts
// end with a zero byte. Arguments are valid until the call returns, unless said otherwise. "static text" means that it
// is valid as long as the bundle is loaded, which is for ever.

#ifndef NBDEXT_CDEXTABI_H
#define NBDEXT_CDEXTABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
struct SCSIUserParallelTask;       // a bundle has these from SCSIControllerDriverKit's header; the layout is the same
struct SCSIUserParallelResponse;
extern "C" {
#else
#include "CParallelTasks.h"
#endif

/// The version of both structures. Each side refuses another one. A later version of the same number only adds members
/// at the end; `size` says which are there.
#define NBDEXT_DEXT_ABI_VERSION 1

/// The symbol of `nbdext_dext_open`, for dlsym.
#define NBDEXT_DEXT_OPEN_SYMBOL "nbdext_dext_open"

/// The most segments of a prepared DMA command, and the most slots of a bundled call.
#define NBDEXT_DEXT_LIST_MAX 32

/// 64 bits. Not uint64_t, which is another type for the compiler of a bundle: there it is as on macOS.
typedef unsigned long long nbdext_u64;
typedef long long nbdext_i64;

typedef struct nbdext_object nbdext_object;
typedef struct nbdext_skin nbdext_skin;
/// A block of C on the heap (`void (^)(void)`), or one on the stack of a waiting caller. Opaque to the host.
typedef struct nbdext_block nbdext_block;

/// A kern_return_t.
typedef int32_t nbdext_status;

/// Mistakes of a driver that the bundle's own code sees.
typedef enum nbdext_dext_fault {
    NBDEXT_FAULT_FREED_OBJECT = 1,       ///< an object was used after its last release
    NBDEXT_FAULT_WRONG_ACTION = 2,       ///< an action was given to a call that it was not made for
    NBDEXT_FAULT_NO_AUXILIARY_QUEUE = 3, ///< a method is bound by QUEUENAME to AuxiliaryQueue, which was never set
    NBDEXT_FAULT_UNSUPPORTED = 4,        ///< a call that nbdext declares and does not have
    NBDEXT_FAULT_UNKNOWN_METHOD = 5,     ///< a call for which no class of the object has a method
    NBDEXT_FAULT_BAD_ARGUMENT = 6,       ///< an argument that macOS answers with an error or a crash
    NBDEXT_FAULT_ASSERTION = 7,          ///< the driver's own assertion failed; the bundle ends the process afterwards
} nbdext_dext_fault;

/// The kinds of log lines, os_log_type_t.
typedef enum nbdext_dext_log {
    NBDEXT_LOG_DEFAULT = 0x00,
    NBDEXT_LOG_INFO = 0x01,
    NBDEXT_LOG_DEBUG = 0x02,
    NBDEXT_LOG_ERROR = 0x10,
    NBDEXT_LOG_FAULT = 0x11,
} nbdext_dext_log;

/// Receives bytes during a call, at most once, on the calling thread. The bytes are valid until it returns.
typedef void (*nbdext_sink)(void *context, const uint8_t *bytes, size_t count);

/// A range of addresses: of the driver's memory, or of the device's bus.
typedef struct nbdext_segment {
    nbdext_u64 address;
    nbdext_u64 length;   ///< bytes
} nbdext_segment;

// Property values
//   A value is a letter and its content. Numbers are little-endian, lengths and counts 4 bytes.
//     n  8 bytes: a number of 64 bits
//     N  1 byte, 8 bytes: a number of so many bits (8, 16 or 32); the rest of the 8 bytes is 0
//     b  1 byte: 0 or 1
//     s  length, UTF-8
//     x  length, bytes: data
//     a  count, values: an array
//     d  count, pairs: a dictionary; each key is a length and UTF-8, without a letter
//   Values are nested at most 8 deep; an array or dictionary has at most 4096 members.

/// What a host offers to a bundle. It is valid as long as the process; every member is set.
typedef struct nbdext_dext_host {
    uint32_t version;   ///< NBDEXT_DEXT_ABI_VERSION
    uint32_t size;      ///< bytes of this structure

    // MARK: Objects

    /// Makes an object for a skin: one of the driver's own classes, or a container. The count is 1, the caller's.
    /// - Parameter class_name: static text, the C++ class.
    /// - Returns: the handle, never NULL.
    nbdext_object *(*make_object)(const char *class_name, nbdext_skin *skin);
    void (*retain)(nbdext_object *object);
    /// Gives a reference back. A surplus one is reported, has no effect, and is not the last.
    /// - Returns: whether it was the last. Then the caller alone uses the handle, until `forget`.
    bool (*release)(nbdext_object *object);
    /// Ends a handle, after free(). Nobody uses it afterwards.
    void (*forget)(nbdext_object *object);
    /// The references that count now, for diagnosis.
    nbdext_i64 (*retain_count)(nbdext_object *object);
    /// The skin of a handle, or NULL.
    nbdext_skin *(*skin)(nbdext_object *object);
    /// Gives a handle its skin. Of two threads that do so, one is right.
    /// - Returns: the handle's skin: `skin`, or the one that another thread has set. Then the caller frees `skin`.
    nbdext_skin *(*set_skin)(nbdext_object *object, nbdext_skin *skin);
    /// The C++ class for a handle that the host has made ("IOPCIDevice", "IOService", "IODispatchQueue", "OSAction",
    /// "IOBufferMemoryDescriptor", ...). Valid as long as the handle.
    const char *(*class_name)(nbdext_object *object);

    // MARK: Reports, time

    /// Reports a mistake. `detail` is a sentence that names the call.
    void (*fault)(nbdext_dext_fault fault, const char *detail);
    /// Writes one line of os_log or IOLog, without a line end. The host adds the driver's name.
    void (*log)(nbdext_dext_log type, const char *line);
    /// The host's clock: monotonic, begins anywhere.
    nbdext_u64 (*now)(void);
    /// IOSleep: blocks the calling thread, and with it the queue that it runs.
    void (*sleep_milliseconds)(nbdext_u64 milliseconds);

    // MARK: Queues

    /// IODispatchQueue::Create. `options`: 1 reentrant, 2 methods not synchronized. `*queue` gets a reference.
    nbdext_status (*queue_create)(
        const char *name, nbdext_u64 options, nbdext_u64 priority, nbdext_skin *skin, nbdext_object **queue);
    /// The queue's name, valid as long as the queue.
    const char *(*queue_name)(nbdext_object *queue);
    /// Whether the calling thread runs the queue (OnQueue).
    bool (*queue_is_current)(nbdext_object *queue);
    /// Runs a block on the queue, once, by `run_block`, and returns when it has run. The block stays the caller's:
    /// `end_block` is not called.
    /// - Parameter activity: static text for pictures of queues, such as a method's name; NULL for DispatchSync.
    /// - Returns: whether it ran. False when it never could (a queue that waits for itself), which was reported.
    bool (*queue_sync)(nbdext_object *queue, const char *activity, nbdext_block *block);
    /// Runs a block on the queue later: `run_block`, then `end_block`, also when it never runs.
    /// - Parameter activity: as above; NULL for DispatchAsync.
    void (*queue_async)(nbdext_object *queue, const char *activity, nbdext_block *block);
    /// Ends the queue: no block begins any more. Then runs `block` (`run_block`, `end_block`), which may be NULL.
    nbdext_status (*queue_cancel)(nbdext_object *queue, nbdext_block *block);
    /// Leaves the queue, which the calling thread runs, until `queue_wakeup` names the event or the time is up; takes
    /// it again before it returns. Other work of the queue runs meanwhile.
    /// - Parameters:
    ///   - event: an address that stands for the event.
    ///   - deadline: a time of `now`; UINT64_MAX for none.
    /// - Returns: kIOReturnSuccess, kIOReturnTimeout, or kIOReturnNotPermitted for a queue that is not reentrant or
    ///   not the caller's.
    nbdext_status (*queue_sleep)(nbdext_object *queue, const void *event, nbdext_u64 deadline);
    /// Wakes one sleeper of the event, or all.
    nbdext_status (*queue_wakeup)(nbdext_object *queue, const void *event, bool all);

    /// SetDispatchQueue: binds a name ("AuxiliaryQueue") to a queue. The host retains it. Any object has names.
    nbdext_status (*set_queue)(nbdext_object *object, const char *name, nbdext_object *queue);
    /// The queue of that name, borrowed; NULL when none is set. Every service has "Default".
    nbdext_object *(*queue_named)(nbdext_object *object, const char *name);

    // MARK: Actions, sources

    /// Makes an action of the driver's own (CreateAction...), with a reference for the caller. The reference memory and
    /// the target are the skin's.
    /// - Parameters:
    ///   - activity: static text, the target's method ("InterruptOccurred"), for pictures of queues.
    ///   - target: the object whose method it calls. The action retains it until it is freed.
    nbdext_object *(*make_action)(nbdext_skin *skin, const char *activity, nbdext_object *target);
    /// OSAction::Cancel: nothing fires the action any more. Then runs `block`, which may be NULL.
    nbdext_status (*action_cancel)(nbdext_object *action, nbdext_block *block);

    /// IOInterruptDispatchSource::Create, for interrupt `index` of the provider. `*source` gets a reference.
    nbdext_status (*interrupt_source_create)(
        nbdext_object *provider, uint32_t index, nbdext_object *queue, nbdext_skin *skin, nbdext_object **source);
    /// GetInterruptType: 0 edge, 1 level, 0x10000 message signalled.
    nbdext_status (*interrupt_type)(nbdext_object *provider, uint32_t index, nbdext_u64 *type);
    /// GetLastInterrupt.
    nbdext_status (*last_interrupt)(nbdext_object *source, nbdext_u64 *count, nbdext_u64 *time);
    /// IOTimerDispatchSource::Create. `*source` gets a reference.
    nbdext_status (*timer_source_create)(nbdext_object *queue, nbdext_skin *skin, nbdext_object **source);
    /// Sets the time at which the timer fires, once. A time that is over fires at once. It replaces the last one.
    nbdext_status (*timer_wake)(nbdext_object *source, nbdext_u64 deadline, nbdext_u64 leeway);
    /// SetHandler of a source of either kind: it fires the action on its queue by `fire_action`. The host retains it.
    /// For an interrupt the two numbers are the count and the time, for a timer the time and 0.
    nbdext_status (*source_set_action)(nbdext_object *source, nbdext_object *action);
    /// SetEnableWithCompletion. When nothing of the former state runs any more, runs `block`, which may be NULL.
    nbdext_status (*source_enable)(nbdext_object *source, bool enable, nbdext_block *block);
    /// Cancel: the source never fires again. Then runs `block` on its queue. The block may be NULL.
    nbdext_status (*source_cancel)(nbdext_object *source, nbdext_block *block);

    // MARK: Memory

    /// IOBufferMemoryDescriptor::Create: zeroed memory. `alignment` 0 means any. `*memory` gets a reference.
    nbdext_status (*memory_create)(
        nbdext_u64 options, nbdext_u64 capacity, nbdext_u64 alignment, nbdext_skin *skin, nbdext_object **memory);
    /// GetAddressRange and GetLength: the memory in this process, as long as SetLength made it.
    nbdext_status (*memory_range)(nbdext_object *memory, nbdext_segment *range);
    /// SetLength, at most the capacity.
    nbdext_status (*memory_set_length)(nbdext_object *memory, nbdext_u64 length);
    /// A descriptor of a part of another. `*part` gets a reference, and retains the whole.
    nbdext_status (*memory_part)(
        nbdext_object *memory, nbdext_u64 options, nbdext_u64 offset, nbdext_u64 length, nbdext_skin *skin,
        nbdext_object **part);
    /// CreateMapping. `length` 0 means the rest. `*map` gets a reference. A map does not keep the descriptor.
    nbdext_status (*map_create)(
        nbdext_object *memory, nbdext_u64 options, nbdext_u64 address, nbdext_u64 offset, nbdext_u64 length,
        nbdext_u64 alignment, nbdext_skin *skin, nbdext_object **map);
    /// IOMemoryMap::GetAddress and GetLength. The address is 0 once the descriptor has gone, which is reported.
    void (*map_range)(nbdext_object *map, nbdext_segment *range, nbdext_u64 *offset);

    /// IODMACommand::Create. `*command` gets a reference.
    nbdext_status (*dma_create)(
        nbdext_object *device, nbdext_u64 options, nbdext_u64 address_bits, nbdext_skin *skin, nbdext_object **command);
    /// PrepareForDMA. `length` 0 means the rest. The host retains the memory until `dma_complete`.
    /// - Parameters:
    ///   - flags: receives 1 when the device may write, 2 when it may read (kIOMemoryDirection...).
    ///   - count: in: room in `segments`, at most 32; out: how many there are.
    nbdext_status (*dma_prepare)(
        nbdext_object *command, nbdext_u64 options, nbdext_object *memory, nbdext_u64 offset, nbdext_u64 length,
        nbdext_u64 *flags, uint32_t *count, nbdext_segment *segments);
    nbdext_status (*dma_complete)(nbdext_object *command, nbdext_u64 options);
    /// GetPreparation. `*memory` gets a reference.
    nbdext_status (*dma_preparation)(
        nbdext_object *command, nbdext_u64 *offset, nbdext_u64 *length, nbdext_object **memory);
    /// PerformOperation: copies between the prepared memory and `data` (1 reads into data, 2 writes from it, 4 zeroes).
    nbdext_status (*dma_perform)(
        nbdext_object *command, nbdext_u64 options, nbdext_u64 dma_offset, nbdext_u64 length, nbdext_u64 data_offset,
        nbdext_object *data);

    // MARK: PCI

    nbdext_status (*pci_open)(nbdext_object *device, nbdext_object *client, uint32_t options);
    /// Close. As on macOS it clears bus mastering and memory decoding.
    void (*pci_close)(nbdext_object *device, nbdext_object *client, uint32_t options);
    /// Reads a register of 1, 2, 4 or 8 bytes. All ones where there is none, or where the width is not possible.
    /// - Parameter memory_index: from `pci_bar`.
    nbdext_u64 (*pci_memory_read)(nbdext_object *device, uint8_t memory_index, nbdext_u64 offset, uint32_t width);
    void (*pci_memory_write)(
        nbdext_object *device, uint8_t memory_index, nbdext_u64 offset, uint32_t width, nbdext_u64 value);
    /// Reads 1, 2 or 4 bytes of the configuration space. All ones where there is nothing.
    uint32_t (*pci_configuration_read)(nbdext_object *device, nbdext_u64 offset, uint32_t width);
    void (*pci_configuration_write)(nbdext_object *device, nbdext_u64 offset, uint32_t width, uint32_t value);
    /// GetBARInfo. `type` is an IOPCIBARType.
    nbdext_status (*pci_bar)(
        nbdext_object *device, uint8_t bar, uint8_t *memory_index, nbdext_u64 *size, uint8_t *type);
    nbdext_status (*pci_location)(nbdext_object *device, uint8_t *bus, uint8_t *device_number, uint8_t *function);
    /// FindPCICapability.
    nbdext_status (*pci_find_capability)(
        nbdext_object *device, uint32_t capability, nbdext_u64 search_offset, nbdext_u64 *offset);
    /// ConfigureInterrupts.
    nbdext_status (*pci_configure_interrupts)(
        nbdext_object *device, uint32_t type, uint32_t required, uint32_t requested, uint32_t options);
    nbdext_status (*pci_reset)(nbdext_object *device, uint32_t type, uint32_t options);

    // MARK: Services

    /// IOService::Start, which a driver calls as super.
    nbdext_status (*service_start)(nbdext_object *service, nbdext_object *provider);
    /// IOService::Stop, which a driver calls as super, perhaps long after its own Stop has returned: it has let go.
    nbdext_status (*service_stop)(nbdext_object *service, nbdext_object *provider);
    /// The provider, borrowed; NULL before Start.
    nbdext_object *(*provider)(nbdext_object *service);
    nbdext_u64 (*registry_entry_id)(nbdext_object *service);
    /// The name, valid during the call.
    nbdext_status (*copy_name)(nbdext_object *service, nbdext_sink sink, void *context);
    nbdext_status (*set_name)(nbdext_object *service, const char *name);
    /// The properties: one dictionary, encoded.
    nbdext_status (*copy_properties)(nbdext_object *service, nbdext_sink sink, void *context);
    /// SetProperties. `bytes` is one dictionary.
    nbdext_status (*set_properties)(nbdext_object *service, const uint8_t *bytes, size_t count);
    nbdext_status (*remove_property)(nbdext_object *service, const char *name);
    /// SearchProperty: one value, encoded. `options`: 1 also looks in the providers.
    nbdext_status (*search_property)(
        nbdext_object *service, const char *name, const char *plane, nbdext_u64 options, nbdext_sink sink,
        void *context);
    nbdext_status (*register_service)(nbdext_object *service);
    nbdext_status (*terminate)(nbdext_object *service, nbdext_u64 options);
    /// IOService::Create: makes and starts the service that the dictionary `properties_key` of `service` describes.
    /// `*result` gets a reference.
    nbdext_status (*create_service)(
        nbdext_object *service, nbdext_object *provider, const char *properties_key, nbdext_object **result);
    /// AdjustBusy, and GetBusyState with a delta of 0.
    nbdext_status (*adjust_busy)(nbdext_object *service, int32_t delta, uint32_t *state);
    nbdext_status (*join_power_tree)(nbdext_object *service);
    /// IOService::SetPowerState, which a driver calls as super: the acknowledgement of `set_power_state`.
    nbdext_status (*acknowledge_power_state)(nbdext_object *service, uint32_t flags);
    /// ChangePowerState.
    nbdext_status (*change_power_state)(nbdext_object *service, uint32_t flags);
    nbdext_status (*set_power_override)(nbdext_object *service, bool enable);

    // MARK: The family of SCSI controllers; `controller` is the service of a driver

    /// `bytes` is one dictionary, here and below.
    nbdext_status (*report_hba_constraints)(nbdext_object *controller, const uint8_t *bytes, size_t count);
    nbdext_status (*set_hba_properties)(nbdext_object *controller, const uint8_t *bytes, size_t count);
    /// `bytes` is one array of strings, here and below.
    nbdext_status (*remove_hba_properties)(nbdext_object *controller, const uint8_t *bytes, size_t count);
    nbdext_status (*set_target_properties)(
        nbdext_object *controller, nbdext_u64 target, const uint8_t *bytes, size_t count);
    nbdext_status (*remove_target_properties)(
        nbdext_object *controller, nbdext_u64 target, const uint8_t *bytes, size_t count);
    /// Builds the storage stack for a target; its commands reach the driver before this returns. The bundle calls it on
    /// the thread of UserCreateTargetForID's caller: the rule of AuxiliaryQueue is the host's.
    nbdext_status (*create_target)(nbdext_object *controller, nbdext_u64 target, const uint8_t *bytes, size_t count);
    nbdext_status (*destroy_target)(nbdext_object *controller, nbdext_u64 target);
    nbdext_status (*target_present)(nbdext_object *controller, nbdext_u64 target, bool *result);
    /// UserGetDataBuffer. `*buffer` gets a reference: the driver releases it, beside the kernel's own.
    nbdext_status (*data_buffer)(
        nbdext_object *controller, nbdext_u64 target, nbdext_u64 task, nbdext_object **buffer);
    nbdext_status (*media_parameters_have_changed)(nbdext_object *controller);
    /// ParallelTaskCompletion, with an action that the kernel has made. The response is copied.
    void (*parallel_task_completion)(
        nbdext_object *controller, nbdext_object *action, const SCSIUserParallelResponse *response);
    /// BundledParallelTaskCompletion, with an action that the kernel has made. `count` is what the driver says: 1 to 32
    /// if it is right.
    void (*bundled_parallel_task_completion)(
        nbdext_object *controller, nbdext_object *action, const uint16_t *indices, uint16_t count);
} nbdext_dext_host;

/// What a class of a bundle can do.
typedef enum nbdext_dext_class_kind {
    NBDEXT_CLASS_UNKNOWN = 0,      ///< the bundle has no class of that name
    NBDEXT_CLASS_OTHER = 1,        ///< not a service
    NBDEXT_CLASS_SERVICE = 2,      ///< an IOService
    NBDEXT_CLASS_USER_CLIENT = 3,  ///< an IOUserClient
    NBDEXT_CLASS_CONTROLLER = 4,   ///< an IOUserSCSIParallelInterfaceController
} nbdext_dext_class_kind;

/// What a bundle offers to a host. Each function takes the skin of a driver's object, whose class has to be of the kind
/// that the function needs. The host calls on the queue of the method: Default, unless `queue_name` says otherwise.
typedef struct nbdext_dext_driver {
    uint32_t version;   ///< NBDEXT_DEXT_ABI_VERSION
    uint32_t size;      ///< bytes of this structure

    // MARK: Classes

    nbdext_dext_class_kind (*class_kind)(const char *class_name);
    /// A sentence that says why objects of the class cannot be made (a pure virtual method is missing); NULL when they
    /// can. Static text.
    const char *(*why_abstract)(const char *class_name);
    /// The queue that a method ("UserProcessParallelTask") of a class is bound to by QUEUENAME; NULL means Default.
    /// Static text.
    const char *(*queue_name)(const char *class_name, const char *method);

    // MARK: Objects

    /// Makes the C++ object of a handle, of a class of the driver's or of one that stands for the host's own object (an
    /// action, a data buffer, a card). The host keeps it: `set_skin` is not called. Nor is init().
    /// - Returns: NULL for a class that is unknown or abstract.
    nbdext_skin *(*make_skin)(const char *class_name, nbdext_object *object);
    /// The host has given up the last reference: runs free(), deletes the skin, and calls `forget`.
    void (*end_skin)(nbdext_skin *skin);
    /// OSObject::init. False means that the object cannot be used.
    bool (*init)(nbdext_skin *object);

    // MARK: Blocks and actions

    /// Runs a block. Once for each block.
    void (*run_block)(nbdext_block *block);
    /// Ends a block that was handed over.
    void (*end_block)(nbdext_block *block);
    /// Calls the method of an action of the driver's own with two numbers, on the calling thread. Times among them are
    /// times of `now`; the driver sees ticks of mach_absolute_time.
    void (*fire_action)(nbdext_skin *action, nbdext_u64 first, nbdext_u64 second);

    // MARK: Services

    nbdext_status (*start)(nbdext_skin *service, nbdext_object *provider);
    nbdext_status (*stop)(nbdext_skin *service, nbdext_object *provider);
    /// The driver answers with `acknowledge_power_state`, now or later.
    nbdext_status (*set_power_state)(nbdext_skin *service, uint32_t flags);
    /// `*client` gets a handle with a reference.
    nbdext_status (*new_user_client)(nbdext_skin *service, uint32_t type, nbdext_object **client);

    // MARK: The family of SCSI controllers

    nbdext_status (*initialize_controller)(nbdext_skin *controller);
    nbdext_status (*start_controller)(nbdext_skin *controller);
    nbdext_status (*report_initiator_identifier)(nbdext_skin *controller, nbdext_u64 *identifier);
    nbdext_status (*report_highest_supported_device_id)(nbdext_skin *controller, nbdext_u64 *identifier);
    nbdext_status (*report_maximum_task_count)(nbdext_skin *controller, uint32_t *count);
    nbdext_status (*report_hba_highest_logical_unit_number)(nbdext_skin *controller, nbdext_u64 *value);
    nbdext_status (*does_hba_perform_auto_sense)(nbdext_skin *controller, bool *result);
    nbdext_status (*does_hba_perform_device_management)(nbdext_skin *controller, bool *result);
    nbdext_status (*does_hba_support_multi_pathing)(nbdext_skin *controller, bool *result);
    nbdext_status (*does_hba_support_scsi_parallel_feature)(
        nbdext_skin *controller, uint32_t feature, bool *result);
    /// `segment_type` is a DMAOutputSegmentType.
    nbdext_status (*get_dma_specification)(
        nbdext_skin *controller, nbdext_u64 *max_transfer_size, uint32_t *alignment, uint8_t *address_bits,
        uint16_t *segment_type);
    nbdext_status (*map_hba_data)(nbdext_skin *controller, uint32_t *unique_task_id);
    nbdext_status (*initialize_target)(nbdext_skin *controller, nbdext_u64 target);
    /// UserMapBundledParallelTaskCommandAndResponseBuffers, with two descriptors of the kernel's, borrowed.
    nbdext_status (*map_bundled_buffers)(
        nbdext_skin *controller, nbdext_object *commands, nbdext_object *responses);

    /// UserProcessParallelTask. The task is copied. `completion` is the skin that `make_skin` made once for the action
    /// of the task object.
    nbdext_status (*process_parallel_task)(
        nbdext_skin *controller, const SCSIUserParallelTask *task, uint32_t *response, nbdext_skin *completion);
    /// UserProcessBundledParallelTasks. `indices` has room for 32.
    void (*process_bundled_parallel_tasks)(
        nbdext_skin *controller, const uint16_t *indices, uint16_t count, nbdext_skin *completion);

    nbdext_status (*abort_task)(
        nbdext_skin *controller, nbdext_u64 target, nbdext_u64 unit, nbdext_u64 tag, uint32_t *response);
    nbdext_status (*abort_task_set)(nbdext_skin *controller, nbdext_u64 target, nbdext_u64 unit, uint32_t *response);
    nbdext_status (*clear_aca)(nbdext_skin *controller, nbdext_u64 target, nbdext_u64 unit, uint32_t *response);
    nbdext_status (*clear_task_set)(nbdext_skin *controller, nbdext_u64 target, nbdext_u64 unit, uint32_t *response);
    nbdext_status (*logical_unit_reset)(
        nbdext_skin *controller, nbdext_u64 target, nbdext_u64 unit, uint32_t *response);
    nbdext_status (*target_reset)(nbdext_skin *controller, nbdext_u64 target, uint32_t *response);

    // MARK: User clients

    /// IOUserClient::ExternalMethod, without any arguments. `client` is the skin of a user client.
    nbdext_status (*external_method)(nbdext_skin *client, nbdext_u64 selector);
} nbdext_dext_driver;

/// The one symbol of a bundle. Called once in a process, before everything else, on any thread. The driver's static
/// initialisers have run. Both structures stay valid.
/// - Returns: NULL when the bundle does not know the host's version or finds its structure too short.
__attribute__((visibility("default")))
const nbdext_dext_driver *nbdext_dext_open(const nbdext_dext_host *host);

#ifdef __cplusplus
}
#endif

#endif
