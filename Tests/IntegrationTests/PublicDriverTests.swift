import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// DEXTs that others have published, built from their own unchanged sources.
///
/// `NBDEXT_DEXT_CHECKOUTS` names a directory that has checkouts of their repositories, each in OWNER/NAME. What is not
/// there is not judged.
@Suite("Public DEXTs", .serialized, .needsCore, .slow, .enabled(if: checkouts != nil, "no NBDEXT_DEXT_CHECKOUTS"))
struct PublicDriverTests {
    /// What can be expected of a driver's sources.
    enum Verdict: Sendable {
        /// They become a bundle that passes check-driver.
        case passes
        /// They become a bundle; it needs a daemon.
        case links
        /// They compile. They are a part of a driver, the rest of which needs other families.
        case compiles
    }

    struct PublicDriver: Sendable, CustomTestStringConvertible {
        let repository: String
        /// The driver's directory in the checkout.
        let directory: String
        /// The bundle's name.
        var product = "Public"
        /// A directory in the driver's whose sources are built, if not all are.
        var part: String?
        /// More arguments of the build. `@` stands for the checkout.
        var arguments: [String] = []
        let verdict: Verdict

        var testDescription: String { repository }
    }

    static let drivers = [
        PublicDriver(
            repository: "jherskovic/iSCSI", directory: "apps/iSCSIDext", arguments: ["--include", "@/apps/Shared"],
            verdict: .passes),
        PublicDriver(
            repository: "joaquinbejar/iSCSIKit", directory: "Dext",
            arguments: ["--include", "@/Daemon/Sources/CISCSIKitShared/include"], verdict: .links),
        PublicDriver(repository: "RandoNandoz/driverkit-iscsi", directory: "driver", verdict: .links),
        PublicDriver(
            repository: "mrmidi/ASFireWire", directory: "ASFWDriver", product: "net.mrmidi.ASFW.ASFWDriver",
            part: "SCSIController", arguments: ["--std", "gnu++23"], verdict: .compiles),
    ]

    @Test("build unchanged, and what needs no daemon and no card of its own is served", arguments: drivers)
    func judged(driver: PublicDriver) throws {
        let checkout = "\(try #require(checkouts))/\(driver.repository)"
        let directory = "\(checkout)/\(driver.directory)"
        guard FileManager.default.fileExists(atPath: directory) else { return }
        var files: [String] = []
        if let part = driver.part {
            files = try FileManager.default.contentsOfDirectory(atPath: "\(directory)/\(part)")
                .filter { $0.hasSuffix(".iig") || $0.hasSuffix(".cpp") }.map { "\(directory)/\(part)/\($0)" }
        }
        let scratch = TemporaryDirectory()
        let bundle = "\(scratch.path)/\(driver.product).dext"
        let arguments = driver.arguments.map { $0.replacing("@", with: checkout) }
        let built = try Shell.run(nbdext, ["dext", "build", directory, "-o", bundle] + files + arguments)
        switch driver.verdict {
        case .compiles:
            #expect(built.errors.contains("the linker could not make"), "\(built.errors)")
            #expect(!built.errors.contains("files have errors"), "\(built.errors)")
        case .links: #expect(built.status == 0, "\(built.errors)")
        case .passes:
            #expect(built.status == 0, "\(built.errors)")
            let result = try Shell.run(nbdext, ["check-driver", bundle])
            #expect(result.status == 0, "\(result.output + result.errors)")
        }
    }
}

private let checkouts = ProcessInfo.processInfo.environment["NBDEXT_DEXT_CHECKOUTS"]
