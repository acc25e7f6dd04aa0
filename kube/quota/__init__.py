"""What objects take of a ResourceQuota, for those who admit them and for those who count them."""
