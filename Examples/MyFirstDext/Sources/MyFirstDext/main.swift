import SCSIControllerDriverKit

DriverKitMain(MyFirstDext.self)
