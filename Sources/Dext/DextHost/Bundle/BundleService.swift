// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CDextABI
import Glibc
import Platform
import SCSIControllerDriverKit

/// A service whose class is the bundle's: a bootstrap, a nub, a user client.
final class BundleService: IOService, BundleServing, UserClient, @unchecked Sendable {
    // SAFETY: static text of the bundle, or a copy that is never freed.
    nonisolated(unsafe) let className: UnsafePointer<CChar>

    init(className: UnsafePointer<CChar>) {
        self.className = className
        super.init()
    }

    private var driver: nbdext_dext_driver? { LoadedBundle.loaded?.driver.pointee }
    private var skinPointer: OpaquePointer? { skin.map { OpaquePointer($0) } }

    override func Start(_ provider: IOService) -> kern_return_t {
        guard let driver, let skinPointer else { return super.Start(provider) }
        return driver.start(skinPointer, handle(of: provider))
    }

    override func Stop(_ provider: IOService) -> kern_return_t {
        guard let driver, let skinPointer else { return super.Stop(provider) }
        return driver.stop(skinPointer, handle(of: provider))
    }

    override func SetPowerState(_ powerFlags: UInt32) -> kern_return_t {
        guard let driver, let skinPointer else { return super.SetPowerState(powerFlags) }
        return driver.set_power_state(skinPointer, powerFlags)
    }

    func externalMethod(_ selector: UInt64) -> kern_return_t {
        guard let driver, let skinPointer else { return kIOReturnNotReady }
        return driver.external_method(skinPointer, selector)
    }

    func end() { giveBack(self) }

    override func NewService(_ userClass: String) -> IOService? { BundleService.make(userClass) }

    func baseStart(_ provider: IOService) -> kern_return_t { super.Start(provider) }
    func baseStop(_ provider: IOService) -> kern_return_t { super.Stop(provider) }
    func baseSetPowerState(_ powerFlags: UInt32) -> kern_return_t { super.SetPowerState(powerFlags) }

    /// Makes a service of a class of the bundle; nil for a class that is none, which is told.
    static func make(_ userClass: String) -> BundleService? {
        guard let bundle = LoadedBundle.loaded,
            [NBDEXT_CLASS_SERVICE, NBDEXT_CLASS_USER_CLIENT].contains(bundle.kind(ofClass: userClass))
        else { return nil }
        // The name lives as long as the process, as services do.
        let service = BundleService(className: UnsafePointer(strdup(userClass)))
        do throws(DriverStartError) {
            _ = try bundle.makeSkin(ofClass: userClass, for: service)
        } catch {
            writeDiagnostic("error: \(error.call) \(error.reason)\n")
            return nil
        }
        return service
    }
}

/// Matches services that were registered with the personality that waits for them.
///
/// Threads: any.
final class ServiceMatching: Sendable {
    static let shared = ServiceMatching()
    private let lock = Lock()
    // SAFETY: only under `lock`.
    private nonisolated(unsafe) var services: [IOService] = []

    func registered(_ service: IOService) {
        lock.withLock { if !services.contains(where: { $0 === service }) { services.append(service) } }
    }

    /// The first registered service that a personality matches. Waits for it.
    func service(for personality: Personalities.Personality, milliseconds: Int) -> IOService? {
        func find() -> IOService? {
            lock.withLock { services }.first {
                personality.matches($0, className: String(cString: className(of: $0)))
            }
        }
        let end = monotonicMilliseconds() + UInt64(milliseconds)
        repeat {
            if let service = find() { return service }
            _ = OneShotEvent().wait(milliseconds: 20)
        } while monotonicMilliseconds() < end
        return find()
    }
}
