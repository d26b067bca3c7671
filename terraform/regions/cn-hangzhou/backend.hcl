bucket              = "windlass-cn-state-1234567890123456"
prefix              = "regions/cn-hangzhou"
region              = "cn-hangzhou"
encrypt             = true
tablestore_endpoint = "https://windlass-cn-lock.cn-hangzhou.ots.aliyuncs.com"
tablestore_table    = "terraform_lock"
