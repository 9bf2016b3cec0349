import InterfaceGenerator

/// Interface files of our own: a small kit, and a driver that has every construct.
enum Samples {
    static let object = """
        #ifndef SAMPLE_OSOBJECT_H
        #define SAMPLE_OSOBJECT_H
        #include <stdint.h>
        #include <stddef.h>
        typedef char IODispatchQueueName[256];
        class IODispatchQueue;
        #if __IIG
        class OSMetaClassBase {
            virtual void retain() const LOCALONLY;
            virtual void release() const LOCALONLY;
        };
        #endif
        class OSObject : public OSMetaClassBase {
        public:
            virtual bool init() LOCALONLY;
            virtual void free() LOCALONLY;
            virtual void retain() const override;
            virtual void release() const override;
            virtual kern_return_t SetDispatchQueue(const IODispatchQueueName name, IODispatchQueue *queue) KERNEL = 0;
        };
        #endif

        """

    static let action = """
        #include <DriverKit/OSObject.iig>
        class NATIVE KERNEL OSAction : public OSObject {
        public:
            virtual void free() override;
            void *GetReference() LOCALONLY;
            virtual void Aborted(void) LOCALHOST;
        };

        """

    static let service = """
        #include <DriverKit/OSAction.iig>
        class OSDictionary;
        class IOUserClient;
        class KERNEL IOService : public OSObject {
        public:
            virtual bool init() override;
            virtual void free() override;
            virtual kern_return_t Start(IOService * provider) LOCAL;
            virtual kern_return_t Stop(IOService * provider) LOCAL;
            virtual kern_return_t SetDispatchQueue(const IODispatchQueueName name, IODispatchQueue * queue) override LOCAL;
            virtual kern_return_t SetProperties(OSDictionary * properties);
            virtual kern_return_t NewUserClient(uint32_t type, IOUserClient ** client);
            virtual IOReturn UpdateReport(uint32_t action, uint64_t offset);
            IOService *GetProvider() const LOCALONLY;
        };

        """

    static let timer = """
        #include <DriverKit/IOService.iig>
        class NATIVE KERNEL IOTimerDispatchSource : public OSObject {
        public:
            static kern_return_t Create(IODispatchQueue * queue, IOTimerDispatchSource ** source) LOCAL;
            virtual kern_return_t SetHandler(OSAction * action TYPE(TimerOccurred)) LOCAL;
        private:
            virtual void TimerOccurred(OSAction * action TARGET, uint64_t time) LOCAL;
        };

        """

    static let controller = """
        #include <DriverKit/IOService.iig>
        #define kMaxBundledParallelTasks 32
        typedef struct { uint64_t fTargetID; } SCSIUserParallelTask;
        typedef struct { uint64_t fTargetID; } SCSIUserParallelResponse;
        typedef uint64_t SCSIDeviceIdentifier;
        class KERNEL IOUserSCSIParallelInterfaceController : public IOService {
        public:
            virtual void ParallelTaskCompletion ( OSAction * action TARGET, SCSIUserParallelResponse response ) = 0;
            virtual kern_return_t UserCreateTargetForID ( SCSIDeviceIdentifier targetID, OSDictionary * targetDict )
                QUEUENAME ( AuxiliaryQueue );
            virtual kern_return_t UserInitializeController ( ) = 0;
            virtual kern_return_t UserDoesHBAPerformAutoSense ( bool * result ) = 0;
        protected:
            virtual kern_return_t UserProcessParallelTask ( SCSIUserParallelTask parallelRequest, uint32_t * response,
                OSAction * completion TYPE ( ParallelTaskCompletion ) ) = 0;
            virtual void UserProcessBundledParallelTasks (
                const uint16_t parallelRequestSlotIndices[kMaxBundledParallelTasks],
                uint16_t parallelRequestSlotIndicesCount, OSAction * completion TYPE ( ParallelTaskCompletion ) ) = 0;
        };
        class EXTENDS ( IOUserSCSIParallelInterfaceController ) IOUserSCSIParallelInterfaceControllerPrivate {
            virtual void UserCompleteParallelTask ( OSAction * action, SCSIUserParallelResponse response )
                KERNEL
                TYPE(IOUserSCSIParallelInterfaceController::ParallelTaskCompletion);
        };

        """

    /// A driver with every construct.
    static let driver = """
        /* A driver.
           Its comment has class Comment : public Nothing { in it. */
        #ifndef Driver_h
        #define Driver_h
        #include <SCSIControllerDriverKit/IOUserSCSIParallelInterfaceController.iig>
        #include <DriverKit/IOTimerDispatchSource.iig> // with a comment
        #include "DriverTypes.h"

        #define ON_IO_QUEUE QUEUENAME(IOQueue)
        #define HANDLES(action) TYPE(action) ON_IO_QUEUE
        #define MY_NOTE __attribute__((annotate("note")))
        #if 0
        class Never : public IOService { it's not even C++
        #endif

        class Driver; // only declared
        class Plain { public: int value; Plain() : value(1) {} ~Plain() {} };
        enum class Kind : uint8_t { one, two };
        template <class T> class Holder { T held; };
        typedef void (^DriverBlock)(int status);
        extern "C" {
        class Helper : public OSObject { bool init() override; };
        }

        class MY_NOTE Driver final : public IOUserSCSIParallelInterfaceController
        {
            uint32_t count = 0, total[2] = {1, 2};
            Driver_IVars *ivars;
            void (*callback)(int);
            unsigned flags : 3;
            struct { int x; } point;
        #pragma mark Types
        public:
            enum Mode { kOff, kOn = 1 << 3 };
            struct Range { uint64_t start; uint64_t end; };
            typedef uint32_t Number;
            using Text = const char *;
            static constexpr uint32_t kSlots = 32;
            friend class Helper;
            static_assert(kSlots == 32, "a (text");
            template <typename T> T twice(T value) { return value + value; }
            int Half(int value) const LOCALONLY { return value / 2; }
            struct State *Current(struct State *state, const struct Range &range) LOCALONLY;

            virtual bool init() override;
            virtual void free() override;
            virtual kern_return_t Start(IOService *provider) override;
            kern_return_t
            Stop(IOService * the_provider /* any style */) override;
            virtual kern_return_t NewUserClient(uint32_t, IOUserClient **) final;
            virtual kern_return_t UserInitializeController() override;
            virtual kern_return_t UserProcessParallelTask(SCSIUserParallelTask request, uint32_t *response,
                                                          OSAction *completion) override;
            virtual void UserProcessBundledParallelTasks(const uint16_t slots[32], uint16_t count,
                                                         OSAction *completion) override;

            virtual void Tick(OSAction *action, uint64_t time) TYPE(IOTimerDispatchSource::TimerOccurred);
            virtual void Tock(OSAction *action, uint64_t time) HANDLES(IOTimerDispatchSource::TimerOccurred);
            virtual kern_return_t Ping(uint32_t value, uint32_t *answer) ON_IO_QUEUE;
            virtual void Note(const IODispatchQueueName name, OSDictionary *, Number = 3, bool last = Flag<1, 2>::value);
            virtual kern_return_t Send(const uint8_t bytes[4][8], const uint32_t words[], Mode mode = kOn);
            virtual kern_return_t Later(OSDispatchMethod supermethod) = 0;
            virtual kern_return_t Read(uint64_t offset) const;
            virtual void Done(OSAction *action TARGET, kern_return_t status) REPLY LOCAL;
            virtual kern_return_t Subscribe(OSAction *action IIG_TYPE(Driver::Done), mach_port_t port PORTMAKESEND)
                IIG_LOCAL IIG_INVOKEREPLY INVISIBLE;
            static kern_return_t Make(IOService *provider, Driver **driver = nullptr) LOCAL;
            static OSSharedPtr<Driver> Find(OSSharedPtr<Driver> after = {}) LOCALONLY;

        #if DRIVER_TRACE
            virtual kern_return_t Trace(uint64_t mask);
        #  ifdef DRIVER_DEEP
            virtual kern_return_t TraceDeep(uint64_t mask) QUEUENAME("TraceQueue");
        #  endif
        #elif defined(DRIVER_LOG)
            virtual kern_return_t Trace(uint32_t level, const char *text);
        #else
            void Trace(uint64_t mask) LOCALONLY;
        #endif

        private:
            bool Walk(DriverBlock block, void (^inner)(struct State *state), int (*compare)(const void *, const void *),
                      void (^)(void), const char *const *names, unsigned long, std::pair<int, long> pair) const LOCALONLY;
            void Log(const char *format, ...) __attribute__((format(printf, 2, 3))) LOCALONLY;
            bool operator==(const Driver &other) const LOCALONLY;
            [[nodiscard]] virtual OSSharedPtr<OSDictionary> CopyState() noexcept LOCALONLY;
        };

        struct Driver_IVars {
            uint64_t ticks{0};
            const char *text = "class X : public Y {";
        };

        #endif /* Driver_h */

        """

    static let kit: [(header: String, text: String)] = [
        ("DriverKit/OSObject.h", object), ("DriverKit/OSAction.h", action), ("DriverKit/IOService.h", service),
        ("DriverKit/IOTimerDispatchSource.h", timer),
        ("SCSIControllerDriverKit/IOUserSCSIParallelInterfaceController.h", controller),
    ]

    static let kitFiles = kit.map { parse($0.text, header: $0.header) }

    /// A file named after its header.
    static func parse(_ text: String, header: String = "Driver.h") -> InterfaceFile {
        parse(Array(text.utf8), header: header)
    }

    static func parse(_ bytes: [UInt8], header: String = "Driver.h") -> InterfaceFile {
        let name = header.split(separator: "/").last.map { $0.dropLast() + "iig" } ?? ""
        return InterfaceFile(parsing: InterfaceSource(name: String(name), header: header, bytes: bytes))
    }

    /// What the parser and the checker say of a file of a driver, as it is printed.
    static func complaints(about text: String) -> String {
        let file = parse(text)
        let checked = ClassTable(kitFiles + [file]).check(file)
        return (file.diagnostics + checked).map(\.description).joined(separator: "\n")
    }

    /// What is made of a file of a driver.
    static func translate(_ text: String) -> (header: String, implementation: String) {
        let file = parse(text)
        let result = Translation(of: file, in: ClassTable(kitFiles + [file]))
        return (String(decoding: result.header, as: UTF8.self), String(decoding: result.implementation, as: UTF8.self))
    }
}
