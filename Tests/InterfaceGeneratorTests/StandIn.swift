/// As much of the kit's own headers as generated code needs to compile.
enum StandIn {
    static let header = """
        #pragma once
        #include <stddef.h>
        #include <stdint.h>
        #include <type_traits>
        #include <utility>
        typedef int kern_return_t;
        typedef kern_return_t IOReturn;
        typedef unsigned mach_port_t;
        class OSMetaClassBase;
        class OSAction;
        struct IORPC { uint64_t id; void *const *arguments; void *result; };
        typedef kern_return_t (*OSDispatchMethod)(OSMetaClassBase *self, const IORPC rpc);
        class OSMetaClassBase {
        public:
            virtual ~OSMetaClassBase() {}
            virtual void retain() const {}
            virtual void release() const {}
            virtual kern_return_t Dispatch(const IORPC) { return 0; }
            static kern_return_t _Dispatch(OSMetaClassBase *, const IORPC) { return 0; }
        };
        template <class T> class OSSharedPtr { T *pointer; };
        template <int A, int B> struct Flag { static constexpr bool value = A < B; };
        #define DEFN(C, M) M##_Impl(C##_##M##_Args)
        #define IMPL(C, M) C::DEFN(C, M)
        #define SUPERDISPATCH &super::_Dispatch
        #define NBDEXT_CLASS_BODY(C, B) \\
        public: \\
            using super = B; \\
            union { C##_IVars *ivars; C##_LocalIVars *lvars; }; \\
            static kern_return_t _Dispatch(OSMetaClassBase *self, const IORPC rpc); \\
            kern_return_t Dispatch(const IORPC rpc) override; \\
            static OSMetaClassBase *make();
        #define NBDEXT_ABSTRACT_CLASS_DEFINITION(C, B, QUEUES, METHODS) \\
            kern_return_t C::Dispatch(const IORPC rpc) { return QUEUES->name < METHODS->name ? 1 : _Dispatch(this, rpc); } \\
            OSMetaClassBase *C::make() { return nullptr; }
        #define NBDEXT_CLASS_DEFINITION(C, B, QUEUES, METHODS) \\
            kern_return_t C::Dispatch(const IORPC rpc) { return QUEUES->name < METHODS->name ? 1 : _Dispatch(this, rpc); } \\
            OSMetaClassBase *C::make() { return new C; }
        namespace nbdext {
        struct MethodQueue { uint64_t id; const char *name; };
        struct MethodName { uint64_t id; const char *name; };
        template <class R, class... P> struct Signature { using Result = R; using Function = R(P...); };
        template <class F, class C> struct Pointer;
        template <class R, class... P, class C> struct Pointer<R(P...), C> {
            using Plain = R (C::*)(P...);
            using Const = R (C::*)(P...) const;
        };
        template <class S, class C, class M> kern_return_t deliver(C *, M, const IORPC) {
            using Expected = Pointer<typename S::Function, C>;
            static_assert(std::is_same_v<M, typename Expected::Plain> || std::is_same_v<M, typename Expected::Const>);
            return 0;
        }
        template <class S, class C, class... A>
        typename S::Result invoke(C *self, uint64_t, OSDispatchMethod, A... arguments) {
            static_assert(std::is_base_of_v<OSMetaClassBase, C>);
            static_assert(std::is_invocable_v<typename S::Function, A...>);
            (void)self;
            ((void)arguments, ...);
            return typename S::Result();
        }
        template <class S, class C, class... A>
        typename S::Result invokeTarget(C *self, OSAction *, uint64_t id, OSDispatchMethod method, A... arguments) {
            return invoke<S>(self, id, method, arguments...);
        }
        inline kern_return_t createAction(OSMetaClassBase *, uint64_t, uint64_t, size_t, OSAction **) { return 0; }
        }

        """
}
