import DextBundle
import DriverHost
import Glibc
import Platform
import SCSIControllerDriverKit

extension DriverProgram {
    /// The reference driver, whose program is installed beside this one.
    ///
    /// - Throws: `OperationError` when it is not there.
    package static func reference() throws(OperationError) -> DriverProgram {
        let path = besideThis("nbdext-raid-driver")
        guard access(path, X_OK) == 0 else {
            throw OperationError(
                "the reference driver's program is not at \(path); build it, or name a driver with --driver")
        }
        return DriverProgram(path: path)
    }

    /// A bundle, run by the program for all bundles, which is installed beside this one.
    ///
    /// - Throws: `OperationError` when the program is not there.
    package init(_ bundle: DextBundle) throws(OperationError) {
        let path = Self.besideThis("nbdext-dext")
        guard access(path, X_OK) == 0 else {
            throw OperationError("the program that runs bundles is not at \(path); build it: swift build -c release")
        }
        self.init(path: path, arguments: [bundle.library])
        files = [bundle.library]
        if let runtime = bundle.sanitizerRuntime {
            preloaded = runtime
            files.append(runtime)
        }
        properties = ["IOKitPersonalities": .dictionary(bundle.info.personalities.mapValues { .dictionary($0) })]
    }

    private static func besideThis(_ name: String) -> String {
        "\(Directory.ofThisProgram)/\(name)"
    }
}
