import InterfaceGenerator
import TestTraits
import Testing

/// What is refused though C++ could read it, to the letter.
@Suite("Checker", .blocks)
struct CheckerTests {
    /// Members of a class of IOUserSCSIParallelInterfaceController.
    private static let methods: [(String, String)] = [
        (
            "virtual kern_return_t UserProcessParallelTask(SCSIUserParallelTask t, uint32_t *r, OSAction *c) override\n"
                + "    QUEUENAME(IO);",
            """
            Driver.iig:3:5: error: QUEUENAME cannot be on 'UserProcessParallelTask', which belongs to the Default queue: \
            macOS panics while it loads the driver (B01); remove it
                QUEUENAME(IO);
                ^
            """
        ),
        (
            "virtual void UserProcessBundledParallelTasks(const uint16_t s[32], uint16_t n, OSAction *c) override "
                + "QUEUENAME(IO);",
            """
            Driver.iig:2:102: error: QUEUENAME cannot be on 'UserProcessBundledParallelTasks', which belongs to the \
            Default queue: macOS panics while it loads the driver (B01); remove it
            virtual void UserProcessBundledParallelTasks(const uint16_t s[32], uint16_t n, OSAction *c) override \
            QUEUENAME(IO);
                                                                                                                 ^
            """
        ),
        (
            "virtual kern_return_t UserProcessParallelTask(SCSIUserParallelTask t, uint32_t *r,\n"
                + "    OSAction *c TYPE(ParallelTaskCompletion)) override;",
            """
            Driver.iig:3:17: error: TYPE cannot be repeated where 'UserProcessParallelTask' is overridden; iig fails on \
            it. Remove it
                OSAction *c TYPE(ParallelTaskCompletion)) override;
                            ^
            IOUserSCSIParallelInterfaceController.iig:14:27: note: \
            'IOUserSCSIParallelInterfaceController::UserProcessParallelTask' is declared here
                virtual kern_return_t UserProcessParallelTask ( SCSIUserParallelTask parallelRequest, uint32_t * response,
                                      ^
            """
        ),
        (
            "virtual void Tick(OSAction *a, uint64_t t) TYPE(IOTimer::TimerOccurred);",
            """
            Driver.iig:2:44: error: TYPE names 'IOTimer::TimerOccurred': its class is not known; include the interface \
            file (.iig) that declares it
            virtual void Tick(OSAction *a, uint64_t t) TYPE(IOTimer::TimerOccurred);
                                                       ^
            """
        ),
        (
            "virtual void Tick(OSAction *a, uint64_t t) TYPE(IOTimerDispatchSource::Fired);",
            """
            Driver.iig:2:44: error: TYPE names 'IOTimerDispatchSource::Fired': no such method is known
            virtual void Tick(OSAction *a, uint64_t t) TYPE(IOTimerDispatchSource::Fired);
                                                       ^
            """
        ),
        (
            "virtual void Tick(OSAction *a) TYPE(IOTimerDispatchSource::TimerOccurred);",
            """
            Driver.iig:2:32: error: 'Tick' has other parameters than 'IOTimerDispatchSource::TimerOccurred', which its \
            TYPE names
            virtual void Tick(OSAction *a) TYPE(IOTimerDispatchSource::TimerOccurred);
                                           ^
            IOTimerDispatchSource.iig:7:18: note: 'IOTimerDispatchSource::TimerOccurred' is declared here
                virtual void TimerOccurred(OSAction * action TARGET, uint64_t time) LOCAL;
                             ^
            """
        ),
        (
            "virtual void Tick(IOService *p) TYPE(IOService::Start);",
            """
            Driver.iig:2:33: error: TYPE names 'IOService::Start', which has no parameter marked TARGET and so is no \
            action's type
            virtual void Tick(IOService *p) TYPE(IOService::Start);
                                            ^
            IOService.iig:8:27: note: 'IOService::Start' is declared here
                virtual kern_return_t Start(IOService * provider) LOCAL;
                                      ^
            """
        ),
        (
            "virtual void Tick() TYPE(IOService::init);",
            """
            Driver.iig:2:21: error: TYPE names 'IOService::init', which is LOCALONLY and so is no action's type
            virtual void Tick() TYPE(IOService::init);
                                ^
            IOService.iig:6:18: note: 'IOService::init' is declared here
                virtual bool init() override;
                             ^
            """
        ),
        (
            "void Tick(OSAction *a, uint64_t t) LOCALONLY TYPE(IOTimerDispatchSource::TimerOccurred);",
            """
            Driver.iig:2:46: error: 'Tick' cannot have a TYPE, since only a remote method can be called by an action
            void Tick(OSAction *a, uint64_t t) LOCALONLY TYPE(IOTimerDispatchSource::TimerOccurred);
                                                         ^
            """
        ),
        (
            "virtual void Done(OSObject *a TARGET);",
            """
            Driver.iig:2:29: error: TARGET is for a parameter of type 'OSAction *', not 'OSObject *'
            virtual void Done(OSObject *a TARGET);
                                        ^
            """
        ),
        (
            "virtual void Subscribe(uint32_t a TYPE(ParallelTaskCompletion));",
            """
            Driver.iig:2:33: error: TYPE is for a parameter of type 'OSAction *', not 'uint32_t'
            virtual void Subscribe(uint32_t a TYPE(ParallelTaskCompletion));
                                            ^
            """
        ),
        (
            "virtual void Done(OSAction *a TARGET, OSAction *b TARGET);",
            """
            Driver.iig:2:49: error: 'Done' has more than one TARGET
            virtual void Done(OSAction *a TARGET, OSAction *b TARGET);
                                                            ^
            """
        ),
        (
            "virtual kern_return_t Start(IOService *p, uint32_t n) override;",
            """
            Driver.iig:2:23: error: 'Start' has other parameters than the method that it overrides
            virtual kern_return_t Start(IOService *p, uint32_t n) override;
                                  ^
            IOService.iig:8:27: note: 'IOService::Start' is declared here
                virtual kern_return_t Start(IOService * provider) LOCAL;
                                      ^
            """
        ),
        (
            "virtual IOReturn UpdateReport(uint64_t action, uint64_t offset) override;",
            """
            Driver.iig:2:18: error: 'UpdateReport' has other parameters than the method that it overrides
            virtual IOReturn UpdateReport(uint64_t action, uint64_t offset) override;
                             ^
            IOService.iig:13:22: note: 'IOService::UpdateReport' is declared here
                virtual IOReturn UpdateReport(uint32_t action, uint64_t offset);
                                 ^
            """
        ),
        (
            "virtual void Start(IOService *p) override;",
            """
            Driver.iig:2:14: error: 'Start' returns something else than the method that it overrides
            virtual void Start(IOService *p) override;
                         ^
            IOService.iig:8:27: note: 'IOService::Start' is declared here
                virtual kern_return_t Start(IOService * provider) LOCAL;
                                      ^
            """
        ),
        (
            "virtual kern_return_t Start(IOService *p) const override;",
            """
            Driver.iig:2:23: error: 'Start' has to be without const, as the method that it overrides
            virtual kern_return_t Start(IOService *p) const override;
                                  ^
            IOService.iig:8:27: note: 'IOService::Start' is declared here
                virtual kern_return_t Start(IOService * provider) LOCAL;
                                      ^
            """
        ),
        (
            "virtual kern_return_t Start(IOService *p) override LOCALONLY;",
            """
            Driver.iig:2:23: error: 'Start' cannot be LOCALONLY, since it overrides a remote method
            virtual kern_return_t Start(IOService *p) override LOCALONLY;
                                  ^
            IOService.iig:8:27: note: 'IOService::Start' is declared here
                virtual kern_return_t Start(IOService * provider) LOCAL;
                                      ^
            """
        ),
        (
            "virtual kern_return_t Strat(IOService *p) override;",
            """
            Driver.iig:2:23: error: 'Strat' overrides nothing: no base class has a method of that name
            virtual kern_return_t Strat(IOService *p) override;
                                  ^
            """
        ),
        (
            "virtual kern_return_t Start(uint32_t n);",
            """
            Driver.iig:2:23: warning: 'Start' hides 'IOService::Start', which has other parameters, and does not override \
            it
            virtual kern_return_t Start(uint32_t n);
                                  ^
            IOService.iig:8:27: note: 'IOService::Start' is declared here
                virtual kern_return_t Start(IOService * provider) LOCAL;
                                      ^
            """
        ),
        (
            "virtual void A();\nvirtual void A(int b);",
            """
            Driver.iig:3:14: error: the remote method 'A' is declared a second time
            virtual void A(int b);
                         ^
            Driver.iig:2:14: note: it is declared here
            virtual void A();
                         ^
            """
        ),
        (
            "kern_return_t A() = 0;",
            """
            Driver.iig:2:15: error: 'A' is pure and so has to be virtual
            kern_return_t A() = 0;
                          ^
            """
        ),
        (
            "virtual void A() { }",
            """
            Driver.iig:2:14: error: the remote method 'A' cannot have a body here; write it with IMPL(C, A), or mark it \
            LOCALONLY
            virtual void A() { }
                         ^
            """
        ),
        (
            "virtual void A(const char *f, ...);",
            """
            Driver.iig:2:31: error: the remote method 'A' cannot have '...'; mark it LOCALONLY
            virtual void A(const char *f, ...);
                                          ^
            """
        ),
        (
            "virtual void A(uint32_t &b);",
            """
            Driver.iig:2:26: warning: macOS cannot send the reference 'uint32_t &b'; use a pointer, or mark 'A' LOCALONLY
            virtual void A(uint32_t &b);
                                     ^
            """
        ),
        (
            "virtual bool A();",
            """
            Driver.iig:2:14: warning: the remote method 'A' can return kern_return_t or nothing; use a pointer for the \
            result, or mark it LOCALONLY
            virtual bool A();
                         ^
            """
        ),
        (
            "uint32_t count; C_IVars *ivars;",
            """
            Driver.iig:2:10: warning: the data member 'count' is left out of the class, as on macOS; move it to C_IVars
            uint32_t count; C_IVars *ivars;
                     ^
            """
        ),
    ]

    @Test("a method that macOS punishes or iig refuses is named, with the reason", arguments: methods)
    func badMethod(text: String, expected: String) {
        let all = "class C : public IOUserSCSIParallelInterfaceController {\n\(text)\n};\n"
        #expect(Samples.complaints(about: all) == expected)
    }

    private static let classes: [(String, String)] = [
        (
            "class C : public IOServise {\n};\n",
            """
            Driver.iig:1:18: error: the base class 'IOServise' is not known; include the interface file (.iig) that \
            declares it
            class C : public IOServise {
                             ^
            """
        ),
        (
            "#if VIDEO\nclass C : public IOUserVideoStream {\n};\n#endif\n",
            """
            Driver.iig:2:18: warning: the base class 'IOUserVideoStream' is not known; the compiler fails if the \
            conditional around 'C' holds
            class C : public IOUserVideoStream {
                             ^
            """
        ),
        (
            "class C : public IOService {\n};\nclass C : public IOService {\n};\n",
            """
            Driver.iig:3:7: error: the class 'C' is defined a second time
            class C : public IOService {
                  ^
            Driver.iig:1:7: note: it is defined here
            class C : public IOService {
                  ^
            """
        ),
        (
            "class IOService : public OSObject {\n};\n",
            """
            Driver.iig:1:7: error: the class 'IOService' is defined a second time
            class IOService : public OSObject {
                  ^
            IOService.iig:4:14: note: it is defined here
            class KERNEL IOService : public OSObject {
                         ^
            """
        ),
        (
            "class C : public D {\n};\nclass D : public C {\n};\n",
            """
            Driver.iig:1:18: error: the base classes of 'C' form a circle
            class C : public D {
                             ^
            Driver.iig:3:18: error: the base classes of 'D' form a circle
            class D : public C {
                             ^
            """
        ),
        (
            "class A {\n};\nclass C : public A {\n};\n",
            """
            Driver.iig:3:18: error: the base class 'A' is no class of DriverKit; derive from OSObject
            class C : public A {
                             ^
            """
        ),
        (
            "struct C : public IOService {\n};\n",
            """
            Driver.iig:1:8: error: 'C' derives from 'IOService', which is a class of DriverKit; write 'class'
            struct C : public IOService {
                   ^
            """
        ),
        (
            "namespace N {\nclass C : IOService {\n};\n}\n",
            """
            Driver.iig:2:7: error: 'C' derives from 'IOService', which is a class of DriverKit; it has to be outside of \
            namespaces and no template
            class C : IOService {
                  ^
            """
        ),
    ]

    @Test("so is a class", arguments: classes)
    func badClass(text: String, expected: String) { #expect(Samples.complaints(about: text) == expected) }

    /// What must not be complained about: only the compiler knows what a typedef stands for.
    private static let sound = [
        "virtual kern_return_t UserCreateTargetForID(uint64_t id, OSDictionary *d) override;",
        "virtual kern_return_t SetDispatchQueue(const char *name, IODispatchQueue *queue) override;",
        "IOReturn Start(class IOService *const p) override;",
        "kern_return_t Start(IOService *p);",
        "virtual void UserProcessBundledParallelTasks(const uint16_t *s, UInt16 n, struct OSAction *c) override;",
        "virtual void ParallelTaskCompletion(OSAction *a, SCSIUserParallelResponse r) override;",
        "virtual bool init(IOService *provider) LOCALONLY;\nvirtual bool init() override;",
        "#if A\nvirtual void B();\n#else\nvirtual void B(int c);\n#endif",
        "kern_return_t Start(uint32_t n) LOCALONLY;",
        "static kern_return_t Start(uint32_t n);",
        "virtual void Tick(OSAction *, uint64_t) TYPE(IOTimerDispatchSource::TimerOccurred) QUEUENAME(Timers);",
        "virtual void Done(OSAction *a TARGET);\nvirtual void Use(OSAction *a TYPE(Done), OSAction *b TYPE(C::Done));",
    ]

    @Test("what may be right is let through", arguments: sound)
    func letThrough(text: String) {
        let all = "class C : public IOUserSCSIParallelInterfaceController {\n\(text)\n};\n"
        #expect(Samples.complaints(about: all) == "")
    }

    @Test("the kit of the samples and the driver with every construct are sound")
    func samples() {
        let table = ClassTable(Samples.kitFiles)
        for file in Samples.kitFiles { #expect(file.diagnostics.isEmpty && table.check(file).isEmpty) }
        #expect(!Samples.complaints(about: Samples.driver).contains("error:"))
    }

    @Test("B01 is named as a value, too")
    func fault() {
        let file = Samples.parse(
            """
            class C : public IOUserSCSIParallelInterfaceController {
                virtual kern_return_t UserProcessParallelTask(SCSIUserParallelTask t, uint32_t *r, OSAction *c) override
                    QUEUENAME(IO);
                virtual void Other() QUEUENAME(IO);
            };
            class D : public C {
                virtual void UserProcessBundledParallelTasks(const uint16_t s[32], uint16_t n, OSAction *c) QUEUENAME(Q);
            };
            """)
        #expect(ClassTable(Samples.kitFiles + [file]).check(file).map(\.fault) == ["B01", "B01"])
    }

    @Test("pure virtual methods that are left out are listed, and those of actions are not")
    func pureVirtuals() {
        let file = Samples.parse(
            """
            class Base : public IOUserSCSIParallelInterfaceController {
                virtual kern_return_t UserInitializeController() override;
                virtual void Own() = 0;
                virtual void Local(int a) LOCALONLY = 0;
            };
            class C : public Base {
                virtual kern_return_t UserProcessParallelTask(SCSIUserParallelTask t, uint32_t *r, OSAction *c) override;
                virtual void Local(int a) override;
            };
            """)
        let table = ClassTable(Samples.kitFiles + [file])
        let controller = "IOUserSCSIParallelInterfaceController::"
        let both = [controller + "UserDoesHBAPerformAutoSense", controller + "UserProcessBundledParallelTasks"]
        #expect(table.missingPureVirtuals(of: "C").map(\.name) == both + ["Base::Own"])
        #expect(
            table.missingPureVirtuals(of: "Base").map(\.name) == [
                both[0], controller + "UserProcessParallelTask", both[1], "Base::Own", "Base::Local",
            ])
        #expect(table.missingPureVirtuals(of: "IOService").isEmpty && table.missingPureVirtuals(of: "X").isEmpty)
        #expect(table.isClass("C", derivedFrom: "OSObject") && !table.isClass("OSObject", derivedFrom: "C"))
        #expect(table.bases(of: "C").first == "Base" && table.bases(of: "C").last == "OSMetaClassBase")
        #expect(table.header(of: "IOService") == "DriverKit/IOService.h" && table.type("C")?.methods.count == 2)
    }
}
